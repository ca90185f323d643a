"""The container of model files: written for the safetensors package, and read from whoever made it."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from helpers import ROOT, run
from safetensors import safe_open
from test_kernels import c_test


def program(*words: str | Path) -> str:
    """What tests/c/test_safetensors.c prints."""
    done = run([str(c_test("test_safetensors")), *map(str, words)])
    assert done.stderr == "", done.stderr
    return done.stdout


def crc32c(data: bytes) -> int:
    """CRC-32C bit by bit: the reference."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def file(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A file with this header, JSON or its text as bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(begin: int, end: int, shape: object = None, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def sealed(metadata: dict[str, str], tensors: dict[str, object] | None = None, data: bytes = b"") -> bytes:
    """A file with the right checksum."""
    mark = "@@@@@@@@"
    whole = file({"__metadata__": {**metadata, "darknet_vae.crc32c": mark}, **(tensors or {})}, data)
    before, after = whole.split(mark.encode())
    return before + b"%08x" % crc32c(before + after) + after


def read(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    return program("read", path)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("st") / "written.safetensors"
    assert program("write", path) == ""
    return path


def test_the_checksum_is_crc32c_by_instruction_and_by_tables() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of the catalogue of CRCs
    for size in (0, 1, 7, 8, 9, 1023, 1024, 1031, 5000):
        expected = f"{crc32c(bytes(i & 255 for i in range(size))):08x}"
        assert program("crc", str(size)).split() == [expected] * 3, size


def test_the_safetensors_package_reads_what_we_write(written: Path) -> None:
    tensors = safetensors.numpy.load_file(written)
    assert {name: (t.dtype.name, t.shape) for name, t in tensors.items()} == {
        "0.biases": ("float32", (1,)),
        "0.weights": ("float32", (2, 3)),
        "none": ("float32", (0, 5)),
        "rows": ("int64", (3,)),
        "seen": ("uint64", ()),
        "sums": ("float64", (2,)),
    }
    assert tensors["0.weights"].tolist() == [[1, 2, 3], [4, 5, 6]] and tensors["0.biases"].tolist() == [7]
    assert tensors["sums"].tolist() == [0.5, 0.25] and tensors["rows"].tolist() == [-1, 0, 1]
    assert tensors["seen"] == 2**63
    with safe_open(written, "numpy") as f:
        metadata = f.metadata()
    assert metadata["darknet_vae.cfg"] == '[net]\ninputs=3 # "quoted\\" é\n'
    assert metadata["empty"] == "" and metadata["darknet_vae.format"] == "1"


def test_values_are_aligned_and_the_checksum_covers_all_but_its_digits(written: Path) -> None:
    content = written.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    digits = header["__metadata__"]["darknet_vae.crc32c"]
    before, after = content.split(digits.encode())
    assert int(digits, 16) == crc32c(before + after)
    for name, entry in header.items():
        if name != "__metadata__":
            size = 8 if entry["dtype"].endswith("64") else 4
            assert (8 + length + entry["data_offsets"][0]) % size == 0, name


def test_what_we_write_is_read_again(written: Path) -> None:
    lines = program("read", written).splitlines()
    assert lines[0] == "ours 1" and lines.count("text empty 0 ") == 1
    weights = np.arange(1, 7, dtype=np.float32)
    assert f"tensor 0.weights F32 2 6 2 3 crc {crc32c(weights.tobytes()):08x}" in lines
    assert "tensor none F32 2 0 0 5 crc 00000000" in lines
    assert not [line for line in lines if "found" in line]


def test_files_of_the_safetensors_package_are_read(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    tensors = {
        "a": np.arange(6, dtype=np.float32).reshape(1, 2, 3),
        "b": np.arange(3, dtype=np.float16),
        "c": np.array(True),
        'ü/\n"': np.zeros((0,), np.int64),
        "e": np.arange(5, dtype=np.uint8),
    }
    safetensors.numpy.save_file(tensors, path, metadata={"who": "somebody\n"})
    lines = program("read", path).splitlines()
    assert lines[0] == "ours 0"
    assert f"tensor a F32 3 6 1 2 3 crc {crc32c(tensors['a'].tobytes()):08x}" in lines
    assert f"tensor b F16 1 3 3 crc {crc32c(tensors['b'].tobytes()):08x}" in lines
    assert f"tensor c BOOL 0 1 crc {crc32c(tensors['c'].tobytes()):08x}" in lines
    assert "text who 9 somebody" in lines


def test_every_truncation_and_every_flipped_bit_is_refused_with_one_line(written: Path) -> None:
    assert program("damage", written).split()[0] == "0"


def test_any_failure_of_the_system_is_returned(written: Path) -> None:
    words = program("failures", written).split()
    assert words[0] == "0" and int(words[3]) > 10 and int(words[5]) > 15


def test_a_file_in_a_pipe_is_read(written: Path) -> None:
    done = run(["sh", "-c", f"cat {written} | {c_test('test_safetensors')} read /dev/stdin"])
    assert done.stdout == program("read", written)


A = tensor(0, 8)
HOSTILE = {
    "nothing": b"",
    "seven bytes": b"1234567",
    "a length of 2^63": file({}, length=2**63),
    "a length of 2^64 - 1": file({}, length=2**64 - 1),
    "a length beyond the file": file({}, length=100),
    "no header": struct.pack("<Q", 0),
    "a header that is no object": file(b"[]"),
    "half a header": file(b'{"a":'),
    "two headers": file(b"{}{}"),
    "bytes without a tensor": file({}, b"1234"),
    "overlapping tensors": file({"a": A, "b": tensor(4, 12)}, bytes(12)),
    "the same bytes twice": file({"a": A, "b": A}, bytes(8)),
    "a gap": file({"a": A, "b": tensor(12, 20)}, bytes(20)),
    "a gap before the first": file({"a": tensor(4, 12)}, bytes(12)),
    "garbage at the end": file({"a": A}, bytes(9)),
    "offsets beyond the file": file({"a": A}, bytes(7)),
    "offsets far beyond the file": file({"a": tensor(0, 2**62)}, bytes(8)),
    "offsets beyond 64 bits": file({"a": {**A, "data_offsets": [0, 2**64]}}, bytes(8)),
    "offsets in the wrong order": file({"a": {**A, "data_offsets": [8, 0]}}, bytes(8)),
    "negative offsets": file({"a": {**A, "data_offsets": [-8, 0]}}, bytes(8)),
    "three offsets": file({"a": {**A, "data_offsets": [0, 8, 8]}}, bytes(8)),
    "one offset": file({"a": {**A, "data_offsets": [0]}}, bytes(8)),
    "a shape that does not fit": file({"a": {**A, "shape": [3]}}, bytes(8)),
    "a shape whose product overflows": file({"a": {**A, "shape": [2**32, 2**32, 2]}}, bytes(8)),
    "a shape whose product overflows to 0": file({"a": {**tensor(0, 0), "shape": [2**32, 2**32, 0]}}),
    "a negative size": file({"a": {**A, "shape": [-2]}}, bytes(8)),
    "a size that is NaN": file(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}', bytes(8)),
    "a size with a fraction": file({"a": {**A, "shape": [2.0]}}, bytes(8)),
    "a size with an exponent": file(b'{"a":{"dtype":"F32","shape":[2e0],"data_offsets":[0,8]}}', bytes(8)),
    "a size with a zero before it": file(b'{"a":{"dtype":"F32","shape":[02],"data_offsets":[0,8]}}', bytes(8)),
    "a size that is a text": file({"a": {**A, "shape": ["2"]}}, bytes(8)),
    "nine dimensions": file({"a": {**A, "shape": [2] + [1] * 8}}, bytes(8)),
    "an unknown dtype": file({"a": {**A, "dtype": "F31"}}, bytes(8)),
    "no dtype": file({"a": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    "no shape": file({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, bytes(8)),
    "no offsets": file({"a": {"dtype": "F32", "shape": [2]}}, bytes(8)),
    "an unknown field": file({"a": {**A, "strides": [1]}}, bytes(8)),
    "a field twice": file(b'{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "a tensor that is a number": file({"a": 5}),
    "a tensor that is null": file({"a": None}),
    "two tensors of a name": file(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"\\u0061":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}',
        bytes(16),
    ),
    "two texts of a key": file(b'{"__metadata__":{"a":"1","a":"2"}}'),
    "two metadata": file(b'{"__metadata__":{},"__metadata__":{}}'),
    "a text that is a number": file({"__metadata__": {"a": 1}}),
    "metadata that is a list": file({"__metadata__": []}),
    "10,000 tensors": file({f"t{i}": tensor(4 * i, 4 * i + 4) for i in range(10000)}, bytes(40000)),
    "10,000 texts": file({"__metadata__": {f"t{i}": "" for i in range(10000)}}),
    "deep JSON": file(b'{"a":' * 100000 + b"1" + b"}" * 100000),
    "a deep list": file(b'{"a":' + b"[" * 1000000),
    "a deep shape": file(b'{"a":{"dtype":"F32","shape":' + b"[" * 100000 + b"]" * 100000),
    "a name that is not UTF-8": file(b'{"\xff":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "an overlong character": file(b'{"__metadata__":{"a":"\xc0\x80"}}'),
    "a surrogate in UTF-8": file(b'{"__metadata__":{"a":"\xed\xa0\x80"}}'),
    "half a surrogate pair": file(b'{"__metadata__":{"a":"\\ud800"}}'),
    "half a character at the end": file(b'{"__metadata__":{"a":"\xe2\x82'),
    "an unknown escape": file(b'{"__metadata__":{"a":"\\x41"}}'),
    "a control character": file(b'{"__metadata__":{"a":"\n"}}'),
    "a zero in a name": file(b'{"a\\u0000":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "a text without its end": file(b'{"__metadata__":{"a":"b'),
    "a comma too many": file(b'{"__metadata__":{},}'),
    "no comma": file(b'{"__metadata__":{"a":"b" "c":"d"}}'),
    "no checksum": file({"__metadata__": {"darknet_vae.format": "1"}}),
    "any key of ours without a checksum": file({"__metadata__": {"darknet_vae.x": ""}}),
    "a short checksum": file({"__metadata__": {"darknet_vae.crc32c": "1234567"}}),
    "a wrong checksum": file({"__metadata__": {"darknet_vae.crc32c": "12345678"}}),
    "format 0": sealed({"darknet_vae.format": "0"}),
    "format one": sealed({"darknet_vae.format": "one"}),
}


def in_capitals(content: bytes) -> bytes:
    """The digits of the checksum in capitals."""
    at = content.index(b'crc32c": "') + 10
    return content[:at] + content[at : at + 8].upper() + content[at + 8 :]


def with_letters() -> bytes:
    """A sealed file whose checksum has a letter."""
    for k in range(100):
        content = sealed({"darknet_vae.format": "1", "k": str(k)})
        if in_capitals(content) != content:
            return content
    raise AssertionError


HOSTILE["a checksum in capitals"] = in_capitals(with_letters())


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_without_taking_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(HOSTILE[name])
    status, calls, message = program("count", path).split(" ", 2)
    assert status == "3" and message.startswith("bytes: ") and message.count("\n") == 1, message
    # two allocations for the file and its label; tables of what has been counted only after the header was read
    assert int(calls) <= 6, calls


@pytest.mark.parametrize(
    "name", ["a length of 2^63", "10,000 tensors", "deep JSON", "an unknown dtype", "offsets beyond 64 bits"]
)
def test_a_header_is_refused_before_anything_is_allocated_for_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(HOSTILE[name])
    assert program("count", path).split()[1] == "2"


def test_files_that_were_changed_at_random_never_crash_the_readers(tmp_path: Path) -> None:
    """The checksum is made right again (fuzz/model_file.c), so what is behind it is reached too."""
    fixture = ROOT / "tests" / "golden" / "model_format_1.safetensors"
    done = run([str(c_test("fuzz_model_file")), "20000", str(fixture)])
    assert done.returncode == 0, done.stderr


def test_a_newer_format_is_refused_by_its_number(tmp_path: Path) -> None:
    assert "format 2 is newer than 1" in read(tmp_path, sealed({"darknet_vae.format": "2"}))
    assert "format 99999999999999999999 is newer" in read(tmp_path, sealed({"darknet_vae.format": "9" * 20}))
    assert read(tmp_path, sealed({"darknet_vae.format": "1"})).startswith("ours 1\n")


def test_unknown_keys_are_ignored_and_escapes_are_understood(tmp_path: Path) -> None:
    content = sealed({"darknet_vae.format": "1", "darknet_vae.later": "x", "other": "tab\té 😀 \u2028 /"})
    assert "text other" in read(tmp_path, content) and "tab\té 😀 \u2028 /" in read(tmp_path, content)
    assert b"\\ud83d\\ude00" in content  # json.dumps writes escapes


def test_a_tensor_of_the_limit_and_one_more(tmp_path: Path) -> None:
    def many(n: int) -> bytes:
        return file({f"t{i}": tensor(4 * i, 4 * i + 4) for i in range(n)}, bytes(4 * n))

    assert read(tmp_path, many(8192)).count("\ntensor t") == 8192
    assert "more than 8192 tensors" in read(tmp_path, many(8193))
