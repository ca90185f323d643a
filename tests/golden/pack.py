"""Pack a folder of golden cases (one .npz each, index.json, malformed/) into cases.npz and malformed/ of this folder.

    python tests/golden/pack.py FOLDER

All arrays of all cases lie in one compressed block of float32 and one of bytes, a tenth of the size of 200 small archives.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
DROP = ("meta_json", "wu_", "bu_", "su_", "fd_", "weights_after", "delta_below", "delta_above", "decoder_out", "eps_implied")
DROP += ("mean_head", "logvar_head", "z_", "resaved_")
KEEP = ("name", "kind", "tests", "compare_with_corrected_core", "tolerance", "start", "cutoff")


def main(folder: Path) -> None:
    index = json.loads((folder / "index.json").read_text())
    floats, raw, cases = [], [], []
    at_float = at_raw = 0
    for case in index["cases"]:
        arrays = {}
        with np.load(folder / case["file"], allow_pickle=False) as archive:
            updates_used = case.get("compare_with_corrected_core", {}).get("gradients_step0", "").startswith("upstream_by")
            for name in archive.files:
                array = archive[name]
                if name.startswith(DROP) and not (updates_used and name[:3] in ("wu_", "bu_", "su_")):
                    continue
                if array.dtype.kind in "fu" and array.dtype.itemsize == 4 and array.dtype.kind == "f":
                    arrays[name] = ["f", at_float, list(array.shape)]
                    floats.append(array.ravel())
                    at_float += array.size
                else:  # bytes, text, and the few numbers of other types
                    data = str(array).encode() if array.dtype.kind == "U" else array.tobytes()
                    kind = "text" if array.dtype.kind == "U" else array.dtype.str
                    arrays[name] = [kind, at_raw, list(array.shape), len(data)]
                    raw.append(data)
                    at_raw += len(data)
        cases.append({**{k: case[k] for k in KEEP if k in case}, "arrays": arrays})
    np.savez_compressed(
        HERE / "cases.npz",
        floats=np.concatenate(floats),
        raw=np.frombuffer(b"".join(raw), np.uint8),
        index=np.frombuffer(json.dumps(cases).encode(), np.uint8),
    )
    source, target = folder / "malformed", HERE / "malformed"
    target.mkdir(exist_ok=True)
    listed = json.loads((source / "index.json").read_text())
    keep = ("name", "file", "weights", "action", "arguments", "missing", "tests", "expected_of_rebuilt_core")
    trimmed = [{k: item[k] for k in keep if k in item} for item in listed]
    (target / "index.json").write_text("[\n" + ",\n".join(json.dumps(item) for item in trimmed) + "\n]\n")
    for item in listed:
        for name in (item["file"], item["weights"]):
            if name and (source / name).exists():
                shutil.copyfile(source / name, target / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
