"""A methods paragraph and BibTeX, from what the records and settings say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastclip import __version__
from fastclip.errors import UsageError
from fastclip.results.record import Record, read_records
from fastclip.results.sightings import read_sightings
from fastclip.stimuli.info import INFOS

FASTCLIP = f"""@software{{fastclip,
  title = {{fastclip: measuring how CLIP models change during training}},
  version = {{{__version__}}},
  year = {{2026}}
}}"""

OPEN_CLIP = """@software{ilharco_openclip,
  title = {OpenCLIP},
  author = {Ilharco, Gabriel and Wortsman, Mitchell and Wightman, Ross and others},
  year = {2021},
  doi = {10.5281/zenodo.5143773}
}"""

CLIP = """@inproceedings{radford2021clip,
  title = {Learning Transferable Visual Models From Natural Language Supervision},
  author = {Radford, Alec and Kim, Jong Wook and Hallacy, Chris and others},
  booktitle = {ICML},
  year = {2021}
}"""

EVOLUTION = """@article{evolution2025clip,
  title = {On the dynamic evolution of {CLIP} texture-shape bias and its relationship to human
           alignment and model robustness},
  journal = {arXiv:2508.09814},
  year = {2025}
}"""

PROTOCOLS: dict[str, tuple[str, ...]] = {
    "shape-bias": (
        """@inproceedings{geirhos2019texture,
  title = {{ImageNet}-trained {CNN}s are biased towards texture; increasing shape bias improves
           accuracy and robustness},
  author = {Geirhos, Robert and Rubisch, Patricia and Michaelis, Claudio and Bethge, Matthias and
            Wichmann, Felix A. and Brendel, Wieland},
  booktitle = {ICLR},
  year = {2019}
}""",
        """@inproceedings{gavrikov2025vlm,
  title = {Can We Talk Models Into Seeing the World Differently?},
  author = {Gavrikov, Paul and Lukasik, Jovita and Jung, Steffen and Geirhos, Robert and
            Mirza, Muhammad Jehanzeb and Keuper, Margret and Keuper, Janis},
  booktitle = {ICLR},
  year = {2025}
}""",
    ),
    "robustness": (
        """@inproceedings{hendrycks2019robustness,
  title = {Benchmarking Neural Network Robustness to Common Corruptions and Perturbations},
  author = {Hendrycks, Dan and Dietterich, Thomas},
  booktitle = {ICLR},
  year = {2019}
}""",
    ),
    "embedding-diagnostics": (
        """@inproceedings{liang2022gap,
  title = {Mind the Gap: Understanding the Modality Gap in Multi-modal Contrastive
           Representation Learning},
  author = {Liang, Weixin and Zhang, Yuhui and Kwon, Yongchan and Yeung, Serena and Zou, James},
  booktitle = {NeurIPS},
  year = {2022}
}""",
    ),
}


def methods(out: Path) -> str:
    """A paragraph for a methods section; every number in it is read from the folder.

    Raises:
        UsageError: `out` holds no finished measurement.
    """
    settled, environment, records = _read(out)
    sightings = read_sightings(out)
    archs = sorted({s.arch for s in sightings})
    runs = sorted({s.run for s in sightings})
    versions = environment["versions"]
    checkpoints = len({(s.run, s.name) for s in sightings})
    sentences = [
        f"We measured {checkpoints} checkpoint{'s' * (checkpoints != 1)} of {len(runs)} "
        f"run{'s' * (len(runs) != 1)} ({', '.join(archs)}) with fastclip "
        f"{settled['fastclip_version']} ({settled['engine']} "
        f"{versions.get(settled['engine'], '')}, {settled['precision']}; open_clip "
        f"{versions.get('open_clip_torch', '?')}).",
        *dict.fromkeys(_sentence(record) for record in records),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def bibliography(out: Path) -> str:
    """BibTeX of fastclip, open_clip, the protocols and every data set in the records."""
    _, environment, records = _read(out)
    entries = [FASTCLIP, OPEN_CLIP, CLIP, EVOLUTION]
    for task in dict.fromkeys(record.task for record in records):
        entries.extend(PROTOCOLS.get(task, ()))
    kinds = {label: facts["kind"] for label, facts in environment["datasets"].items()}
    for label in dict.fromkeys(record.dataset for record in records):
        info = INFOS.get(kinds.get(label, ""))
        published = info is not None and label.split("[")[0] == info.name
        if published and info is not None:
            entries.append(info.citation.strip())
        else:
            entries.append(f"% {label}: the user's own data set; cite its source")
    by_key = {entry.split(",", 1)[0]: entry for entry in reversed(entries)}
    return "\n\n".join(reversed(by_key.values()))


def _read(out: Path) -> tuple[Mapping[str, Any], Mapping[str, Any], list[Record]]:
    records = list(read_records(out))
    if not records:
        raise UsageError(
            "this folder holds no finished measurement", where=out, mend="sweep into it first"
        )
    return (
        json.loads((out / "config.json").read_bytes()),
        json.loads((out / "env.json").read_bytes()),
        records,
    )


def _sentence(record: Record) -> str:
    protocol = record.protocol
    if record.task == "iqa":
        distances = ", ".join(protocol.get("distances", ()))
        return (
            f"Image-quality alignment is the rank (SRCC, KRCC) and linear (PLCC) correlation "
            f"between human scores of {record.dataset} and embedding distances ({distances}) of "
            f"reference and distorted picture, pooled over pairs, positive when aligned."
        )
    if record.task == "shape-bias":
        return (
            f"Shape bias is the fraction of shape decisions among shape and texture decisions "
            f"of a zero-shot classifier on {record.dataset} "
            f"({protocol.get('prompts_name', 'prompt ensemble')})."
        )
    if record.task == "robustness":
        distortion = protocol.get("distortion")
        if not distortion:
            return f"Clean zero-shot accuracy is that on {record.dataset}."
        return (
            f"Noisy accuracy is that on {record.dataset} with {distortion['kind']} of level "
            f"{distortion['level']:g} added at {protocol.get('noise_at')} resolution "
            f"(seed {distortion['seed']}, clipped, 8-bit)."
        )
    return ""
