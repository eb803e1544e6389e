"""Allen Brain Observatory, two-photon Visual Coding: the NWB 1 files of AllenSDK's `BrainObservatoryCache`.

observatory.brain-map.org/visualcoding; `ophys_experiment_data/<id>.nwb`. Terms of use of the Allen Institute. In a file::

    /processing/brain_observatory_pipeline
        DfOverF/imaging_plane_1               data (ROI, frame), timestamps (frame,) s
        Fluorescence/imaging_plane_1          data, r, rmse (ROI,); _demixed_signal, _neuropil_response beside it
        ImageSegmentation                     cell_specimen_ids, roi_ids (ROI,); masks
        BehavioralTimeSeries/running_speed    data cm/s, timestamps
        EyeTracking, PupilTracking            pupil_location (x, y) cm, _spherical (altitude, azimuth), pupil_size
        MotionCorrection/2p_image_series      xy_translation, pixels
    /stimulus/presentation/<name>_stimulus    data, features, frame_duration (row, 2) frames of imaging, timestamps
    /stimulus/templates/<name>_image_stack    data (frame, y, x)

The NWB 2 files of the same sessions (DANDI 000728) and those of Visual Behavior are read by the reader of NWB.
"""

from __future__ import annotations

import xarray as xr

from neuroarrays import schema
from neuroarrays.files.probe import Probe
from neuroarrays.formats.allen_ophys.stimuli import presentation_nodes, template_nodes
from neuroarrays.formats.allen_ophys.traces import series_node, trace_nodes
from neuroarrays.formats.nwb.dialects import PIPELINE, is_brain_observatory
from neuroarrays.formats.nwb.units import area_name
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.lazy.arrays import file_array

#: Attribute of the session -> its path in the file.
_FACTS = {
    "session_id": "general/session_id",
    "session_type": "general/session_type",
    "experiment_container_id": "general/experiment_container_id",
    "specimen_name": "general/specimen_name",
    "session_start_time": "session_start_time",
    "subject": "general/subject/subject_id",
    "species": "general/subject/species",
    "age": "general/subject/age",
    "sex": "general/subject/sex",
    "genotype": "general/subject/genotype",
    "fov": "general/fov",
    "imaging_depth": "general/optophysiology/imaging_plane_1/imaging depth",
    "indicator": "general/optophysiology/imaging_plane_1/indicator",
    "targeted_structure": "general/optophysiology/imaging_plane_1/location",
}
#: Other series: node, path in the file, names of the columns, unit.
_SERIES = (
    (schema.RUNNING, "BehavioralTimeSeries/running_speed", ("speed",), "cm/s"),
    (schema.PUPIL, "EyeTracking/pupil_location", ("x", "y"), "cm"),
    ("pupil_spherical", "EyeTracking/pupil_location_spherical", ("altitude", "azimuth"), "degrees"),
    ("pupil_size", "PupilTracking/pupil_size", ("pupil_size",), "pixels"),
    ("motion", "MotionCorrection/2p_image_series/xy_translation", ("x", "y"), "pixels"),
    ("motion", "MotionCorrection/2p_image_series/xy_translations", ("x", "y"), "pixels"),
)
_NOT_READ = "not read: masks and pictures of ROIs, epochs, analysis"


class AllenOphysReader(Reader):
    """Reads two-photon sessions of the Brain Observatory in NWB 1; a folder or list of them is one tree."""

    name = "allen_ophys"
    description = "Allen Brain Observatory, two-photon Visual Coding (NWB 1)"
    url = "https://observatory.brain-map.org/visualcoding"

    def recognise(self, probe: Probe) -> bool:
        """Whether a path is an NWB 1 file with the results of the Brain Observatory's pipeline."""
        return probe.container == "hdf5" and is_brain_observatory(probe.source)

    def open_session(self, session: Probe, name: str, request: Request) -> dict[str, xr.Dataset]:
        """Open a file as a session of a recording tree."""
        source = session.source
        facts = {key: str(source.read(at)) for key, at in _FACTS.items() if source.info(at)}
        notes = [_NOT_READ]
        nodes = trace_nodes(source, area_name(facts.get("targeted_structure", "")))
        for node, group, columns, unit in _SERIES:
            if source.names(f"{PIPELINE}/{group}"):
                nodes[node] = series_node(source, f"{PIPELINE}/{group}", columns, unit)
        clock = file_array(source, f"{PIPELINE}/DfOverF/imaging_plane_1/timestamps")
        nodes |= presentation_nodes(source, clock, notes) | template_nodes(source, notes)
        return {"": xr.Dataset(attrs={"session_id": name} | facts | {"notes": notes})} | nodes
