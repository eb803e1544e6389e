"""What SENSORIUM's models and scores do with loaders, done with ours beside neuralpredictors' own.

Its baseline model is built of neuralpredictors' parts here: a core of convolutions, a readout whose
places are predicted from the cells' places in the cortex, and a shifter by the place of the pupil.
"""

import collections
import collections.abc
import importlib
import sys
import types

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.synthetic.sensorium import StaticOptions, write_static

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")

pytestmark = pytest.mark.peers("neuralpredictors")

KEY = "21067-10-18"
OPTIONS = {"include_behavior": True, "include_eye_position": True, "scale": 0.25}
FIELDS = ("images", "responses", "behavior", "pupil_center")


@pytest.fixture
def peer(monkeypatch):
    """Modules of neuralpredictors by their last name."""
    for name in ("Iterable", "Mapping"):  # its release on PyPI is for Python < 3.10
        monkeypatch.setattr(collections, name, getattr(collections.abc, name), raising=False)
    # imported beside the cores, and used by one of them that nobody takes here
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))

    def module(name):
        return importlib.import_module(f"neuralpredictors.{name}")

    return module


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / f"static{KEY}-GrayImageNet-94c6ff"
    write_static(
        path, StaticOptions(train=24, validation=8, test=4, repeats=4, units=6, size=(36, 64))
    )
    return path


@pytest.fixture
def ours(folder):
    return na.torch.loaders(
        na.open_datatree(folder), compat="neuralpredictors", batch_size=8, options=OPTIONS
    )


@pytest.fixture
def theirs(peer, folder):
    """All presentations, through the transforms that SENSORIUM+ gives its loaders."""
    data = peer("data.datasets").FileTreeDataset(str(folder), *FIELDS)
    made = peer("data.transforms")
    data.transforms.extend(
        [
            made.NeuroNormalizer(data),
            made.AddBehaviorAsChannels(),
            made.ScaleInputs(scale=0.25),
            made.ToTensor(False),
        ]
    )
    return data


def test_inputs_with_behaviour_as_channels_at_a_quarter_of_the_size(ours, theirs):
    data = ours["train"][KEY].dataset
    assert len(data) == len(theirs)
    assert data.data_keys == theirs.data_keys
    assert data.img_shape == theirs.img_shape == (1, 4, 9, 16)
    assert data.n_neurons == theirs.n_neurons
    for point, other in zip(data, theirs, strict=True):
        assert point._fields == other._fields
        for values, expected in zip(point, other, strict=True):
            torch.testing.assert_close(values, expected, rtol=1e-4, atol=2e-5)


def test_labels_by_attribute(ours, theirs):
    data = ours["test"][KEY].dataset
    for name in list(theirs.neurons.keys()):
        np.testing.assert_array_equal(getattr(data.neurons, name), getattr(theirs.neurons, name))
    for name in list(theirs.trial_info.keys()):
        if name != "frame_trial_ts":  # here without the text around the stamp
            expected = getattr(theirs.trial_info, name)
            np.testing.assert_array_equal(getattr(data.trial_info, name), expected)


def test_oracles_of_batches_that_repeat_an_image(peer, ours, theirs):
    """One batch per image of the test tier, as that library's sampler draws them."""
    repeats = peer("data.samplers").RepeatsBatchSampler
    oracles = []
    for data in (ours["test"][KEY].dataset, theirs):
        shown, tiers = data.trial_info.frame_image_id, data.trial_info.tiers
        sampler = repeats(shown, np.flatnonzero(tiers == "test"))
        batches = list(torch.utils.data.DataLoader(data, batch_sampler=sampler))
        assert len(batches) == 4
        for batch in batches:
            assert (batch.images[:, 0] == batch.images[:1, 0]).all()
        outputs = np.stack([batch.responses.numpy() for batch in batches])
        oracles.append(peer("measures.np_functions").oracle_corr_jackknife(outputs))
    np.testing.assert_allclose(*oracles, rtol=1e-5)


def baseline(peer, loaders):
    """The model of the SENSORIUM+ track, small: of what loaders of sessions tell about themselves."""
    torch.manual_seed(3)
    core = peer("layers.cores").Stacked2dCore(
        input_channels=next(iter(loaders.values())).dataset.img_shape[1],
        hidden_channels=4,
        input_kern=5,
        hidden_kern=3,
        layers=2,
        stack=-1,
        pad_input=False,
        gamma_input=6.3,
    )
    shape = core(torch.zeros(1, *next(iter(loaders.values())).dataset.img_shape[1:])).shape[1:]
    readouts = torch.nn.ModuleDict(
        {
            key: peer("layers.readouts").FullGaussian2d(
                in_shape=shape,
                outdims=loader.dataset.n_neurons,
                bias=True,
                gauss_type="full",
                grid_mean_predictor={
                    "hidden_layers": 1,
                    "hidden_features": 5,
                    "final_tanh": True,
                },
                source_grid=loader.dataset.neurons.cell_motor_coordinates[:, :2],
            )
            for key, loader in loaders.items()
        }
    )
    shifters = peer("layers.shifters").MLPShifter(list(loaders), hidden_channels_shifter=3)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.core, self.readouts, self.shifters = core, readouts, shifters

        def forward(self, images, data_key, pupil_center, **_):
            shift = self.shifters[data_key](pupil_center)
            return (
                torch.nn.functional.elu(self.readouts[data_key](self.core(images), shift=shift)) + 1
            )

    return Model()


def test_a_model_trains_and_is_scored(peer, ours):
    loaders = ours["train"]
    model = baseline(peer, loaders)
    criterion = peer("measures.modules").PoissonLoss(avg=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(12):
        total = 0.0
        for key, batch in peer("training").LongCycler(loaders):
            scale = np.sqrt(len(loaders[key].dataset) / len(batch.images))
            loss = scale * criterion(model(data_key=key, **batch._asdict()), batch.responses)
            (loss + model.core.regularizer()).backward()
            optimizer.step()
            optimizer.zero_grad()
            total += float(loss.detach())
        losses.append(total)
    assert losses[-1] < 0.9 * losses[0]

    model.eval()
    loader = ours["test"][KEY]
    with torch.no_grad():
        predicted = torch.cat([model(data_key=KEY, **batch._asdict()) for batch in loader]).numpy()
    data = loader.dataset
    shown, tiers = data.trial_info.frame_image_id, data.trial_info.tiers
    measured, images = [], []
    for number, point in enumerate(data):  # all tiers, as its scores go through them
        if tiers[number] == "test":
            measured.append(point.responses.numpy())
            images.append(shown[number])
    measured, images = np.stack(measured), np.array(images)
    means = [
        np.stack([values[images == image].mean(0) for image in np.unique(images)])
        for values in (measured, predicted)
    ]
    corr = peer("measures.np_functions").corr(*means, axis=0)
    assert corr.shape == (6,)
    assert np.isfinite(corr[1:]).all()
