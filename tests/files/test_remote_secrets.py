"""Redirects, signatures and credentials: used to read, said and kept nowhere."""

import pickle
import re
import shutil
import time
import traceback
from pathlib import Path

import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError
from neuroarrays.files import addresses, remote_file, sidecars, state
from neuroarrays.files.locating import locate
from neuroarrays.testing.sources import open_source

pytest.importorskip(
    "obstore", reason="the extra `remote` is not installed: pip install 'neuroarrays[remote]'"
)
pytestmark = pytest.mark.usefixtures("alone")
SAMPLE = Path(na.__file__).parent / "demo" / "_sample" / "A2929-200711.nwb"
ROW = [200_000.0, 200_001.0, 200_002.0, 200_003.0]
SIGNED = "X-Amz-Signature=abcdef0123456789&X-Amz-Expires=60"


def words_of(error):
    """Everything that an error prints, with what led to it."""
    return "".join(traceback.format_exception(error))


def test_a_redirect_is_followed_once(server, numbers):
    source = open_source(server.url(numbers, "r"))
    assert source.read("last").sum() == 435
    assert source.read("rows", (99_999,)).tolist() == [399_996.0, 399_997.0, 399_998.0, 399_999.0]
    assert server.seen.statuses[302] == 1


def test_where_a_redirect_led_has_expired(server, numbers):
    source = open_source(server.url(numbers, "r"))
    server.behaviour.clock = 7200
    assert source.read("rows", (50_000,)).tolist() == ROW
    assert server.seen.statuses[302] == 2


def test_a_signature_that_expires_between_two_reads(server, numbers):
    source = open_source(f"{server.url(numbers)}?X-Amz-Signature={time.time()}")
    assert source.read("first").sum() == 190
    server.behaviour.clock = 7200
    with pytest.raises(
        FormatError, match=r"x\.h5: .*no longer, valid: get a new address"
    ) as caught:
        source.read("rows", (50_000,))
    assert "X-Amz" not in words_of(caught.value)
    renewed = open_source(f"{server.url(numbers)}?X-Amz-Signature={time.time() + 7200}")
    assert renewed.read("rows", (50_000,)).tolist() == ROW


def test_nobody_reads_with_the_token_of_another(server, numbers):
    place = f"{server.url(numbers)}?versionId=7&X-Amz-Signature="
    valid, expired = f"{place}{time.time()}", f"{place}{time.time() - 7200}"
    assert open_source(valid).read("rows", (50_000,)).tolist() == ROW
    with pytest.raises(FormatError, match="no permission .*signature"):
        open_source(expired)
    assert locate(valid) != locate(expired)
    assert pickle.loads(pickle.dumps(locate(valid))) == locate(locate(valid).path)
    state.keep_for(locate(valid))
    open_source(valid).read("last")
    state.keep_for(locate(valid))
    assert remote_file._blocks.nbytes > 0
    state.keep_for(locate(expired))
    assert remote_file._blocks.nbytes == 0


def test_nothing_secret_is_said_or_kept(folder, server, tmp_path):
    shutil.copy(SAMPLE, folder / "a.nwb")
    address = f"{server.url('a.nwb')}?versionId=7&{SIGNED}".replace("abcdef0123456789", f"{2e9}")
    secret = re.compile(r"2000000000|X-Amz-Signature")
    tree = na.open_datatree(address)
    spikes = tree["a/adn/spikes"]["spike_times"]
    said = [repr(tree), repr(spikes.variable._data), str(pickle.dumps(tree)), repr(locate(address))]
    said.append(str([path for _, path, _ in sidecars.every()]))
    na.save(na.align(tree, bin_width=1.0), tmp_path / "a.h5")
    said.append((tmp_path / "a.h5").read_bytes().decode("latin-1"))
    assert "versionId=7" in said[3]
    server.behaviour.deny = 403
    said += [path.read_bytes().decode("latin-1") for path in (tmp_path / "cache").iterdir()]
    assert sidecars.clear()  # a version that is named is not asked for again where it is kept
    na.release()
    for broken in (lambda: spikes.values, lambda: na.open_datatree(address)):
        with pytest.raises(FormatError, match="signature") as caught:
            broken()
        said.append(words_of(caught.value))
    assert not [text for text in said if secret.search(text)]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("HTTPS://user:word@host/a b#c%20d.nwb", "https://host/a%20b%23c%20d.nwb"),
        ("https://h/x?sv=2020&se=2&sig=xyz&versionId=9", "https://h/x?versionId=9"),
        ("https://h/x?id=3&download=1", "https://h/x?id=3&download=1"),
        ("https://h/x?a=" + 30 * "z", "https://h/x"),
        ("s3://bucket/a b#c?.nwb", "s3://bucket/a b#c?.nwb"),
    ],
)
def test_what_is_shown_of_an_address(address, shown):
    assert addresses.without_secrets(address) == shown
    assert addresses.without_secrets(shown) == shown
    assert locate(address).path == shown
    assert pickle.loads(pickle.dumps(locate(address))) == locate(shown)


def test_a_path_is_shown_as_it_is():
    assert addresses.without_secrets("/A b/C#.nwb") == "/A b/C#.nwb"


def test_names_in_addresses():
    place = locate("https://h/a%20b/c.nwb?sig=abc")
    assert (place.name, place.parent.name) == ("c.nwb", "a b")
    assert place.parent.child("d e.nwb").path == "https://h/a%20b/d%20e.nwb"
    assert place.parent.child("d").address == "https://h/a%20b/d?sig=abc"
    assert locate("s3://b/f/x y.nwb").parent.child("z #.nwb").path == "s3://b/f/z #.nwb"


def test_a_private_bucket_without_credentials(bucket, server):
    shutil.copy(SAMPLE, bucket / "a.nwb")
    server.behaviour.deny = 403
    with pytest.raises(
        FormatError, match="s3://lab/a.nwb: .*no permission.*AWS_ACCESS_KEY_ID, .*profile"
    ):
        na.open_datatree("s3://lab/a.nwb")


def test_credentials_that_do_not_open_it(bucket, server, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(FormatError, match="one half is missing; set both AWS_ACCESS_KEY_ID"):
        locate("s3://lab/a.nwb").open()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    na.release()
    server.behaviour.deny = 403
    with pytest.raises(FormatError, match="that were found .* do not open it: compare them"):
        locate("s3://lab/a.nwb").open()


def test_credentials_are_used_and_said_nowhere(bucket, server, monkeypatch, tmp_path):
    shutil.copy(SAMPLE, bucket / "a.nwb")
    (tmp_path / "keys").write_text(
        "[mine]\naws_access_key_id = AKID7\naws_secret_access_key = xyz7\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    tree = na.open_datatree("s3://lab/a.nwb")
    assert "AKID7" in str(server.seen.headers[0])
    for text in (repr(tree), str(pickle.dumps(tree))):
        assert "AKID7" not in text
        assert "xyz7" not in text
