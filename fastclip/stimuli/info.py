"""The published data sets: source, licence, size and citation."""

from __future__ import annotations

from fastclip.stimuli.base import DatasetInfo

INFOS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        DatasetInfo(
            name="tid2013",
            title="TID2013, Tampere Image Database 2013",
            source="https://www.ponomarenko.info/tid2013.htm",
            licence="educational and research use only, without fee, authors named (its readme)",
            size="25 references, 24 distortion types x 5 levels = 3000 pairs; 908 MB (rar)",
            citation="""@article{ponomarenko2015tid2013,
  title = {Image database {TID2013}: Peculiarities, results and perspectives},
  author = {Ponomarenko, Nikolay and Jin, Lina and Ieremeiev, Oleg and Lukin, Vladimir
    and Egiazarian, Karen and Astola, Jaakko and Vozel, Benoit and Chehdi, Kacem
    and Carli, Marco and Battisti, Federica and Kuo, C.-C. Jay},
  journal = {Signal Processing: Image Communication},
  volume = {30},
  pages = {57--77},
  year = {2015},
  doi = {10.1016/j.image.2014.10.009},
}""",
        ),
        DatasetInfo(
            name="kadid10k",
            title="KADID-10k, Konstanz Artificially Distorted Image quality Database",
            source="https://database.mmsp-kn.de/kadid-10k-database.html",
            licence='no formal licence; "freely available to the research community" (its page)',
            size="81 references, 25 distortion types x 5 levels = 10125 pairs; 3.1 GB (zip)",
            citation="""@inproceedings{lin2019kadid10k,
  title = {{KADID-10k}: A Large-scale Artificially Distorted {IQA} Database},
  author = {Lin, Hanhe and Hosu, Vlad and Saupe, Dietmar},
  booktitle = {Tenth International Conference on Quality of Multimedia Experience (QoMEX)},
  pages = {1--3},
  year = {2019},
  doi = {10.1109/QoMEX.2019.8743252},
}""",
        ),
        DatasetInfo(
            name="cue-conflict",
            title="Texture-shape cue-conflict stimuli",
            source="https://github.com/rgeirhos/texture-vs-shape",
            licence="CC BY 4.0",
            size="16 shapes x 80 = 1280 pictures of 224 x 224, 1200 of them in conflict; 136 MB",
            citation="""@inproceedings{geirhos2019texture,
  title = {{ImageNet}-trained {CNN}s are biased towards texture; increasing shape bias
    improves accuracy and robustness},
  author = {Geirhos, Robert and Rubisch, Patricia and Michaelis, Claudio and Bethge, Matthias
    and Wichmann, Felix A. and Brendel, Wieland},
  booktitle = {International Conference on Learning Representations},
  year = {2019},
  url = {https://openreview.net/forum?id=Bygh9j09KX},
}""",
        ),
        DatasetInfo(
            name="cifar100",
            title="CIFAR-100, test batch",
            source="https://www.cs.toronto.edu/~kriz/cifar.html",
            licence="no formal licence; the authors ask for the citation of the report",
            size="100 classes x 100 = 10000 pictures of 32 x 32; 161 MB (tar.gz, training too)",
            citation="""@techreport{krizhevsky2009learning,
  title = {Learning Multiple Layers of Features from Tiny Images},
  author = {Krizhevsky, Alex},
  institution = {University of Toronto},
  year = {2009},
}""",
        ),
        DatasetInfo(
            name="imagenet",
            title="ImageNet (ILSVRC 2012), validation set",
            source="https://www.image-net.org",
            licence="ImageNet terms of access: non-commercial research and education, on request",
            size="1000 classes x 50 = 50000 pictures; 6.3 GB (tar)",
            citation="""@article{russakovsky2015imagenet,
  title = {{ImageNet} Large Scale Visual Recognition Challenge},
  author = {Russakovsky, Olga and Deng, Jia and Su, Hao and Krause, Jonathan and
    Satheesh, Sanjeev and Ma, Sean and Huang, Zhiheng and Karpathy, Andrej and
    Khosla, Aditya and Bernstein, Michael and Berg, Alexander C. and Fei-Fei, Li},
  journal = {International Journal of Computer Vision},
  volume = {115},
  number = {3},
  pages = {211--252},
  year = {2015},
  doi = {10.1007/s11263-015-0816-y},
}""",
        ),
    )
}
"""By name, in the order they are listed to users."""

COUNTS = {
    "tid2013": 3000,
    "kadid10k": 10125,
    "cue-conflict": 1280,
    "cifar100": 10000,
    "imagenet": 50000,
}
"""Rows (pairs, or pictures) of the complete published set."""


def info_of(kind: str, name: str) -> DatasetInfo:
    """The published set's entry, or one that says that this is the user's own set."""
    if name == kind and kind in INFOS:
        return INFOS[kind]
    like = INFOS[kind].title if kind in INFOS else "a table of pairs and scores"
    return DatasetInfo(
        name=name,
        title=f"{name} (own set, laid out as {like})",
        source="the user's own files",
        licence="not stated",
        size="",
        citation="",
    )
