from dataclasses import replace

import made_up
import numpy as np
import pytest

from fastclip.errors import UsageError
from fastclip.evaluators.options import TaskOptions


@pytest.mark.parametrize(
    ("option", "value", "choices"),
    [
        ("noise_at", "after", "auto, native, input"),
        ("iqa_view", "centre", "auto, crop, squash"),
        ("class_names", "wordnet", "auto, openai, dataset"),
        ("distances", ("cosine", "l1"), "cosine, rmse, rmse_dimnorm"),
    ],
)
def test_a_wrong_choice_lists_the_right_ones(option, value, choices):
    with pytest.raises(UsageError) as caught:
        TaskOptions(**{option: value})
    assert choices in str(caught.value)


@pytest.mark.parametrize("template", ["a photo", "{} and {}"])
def test_a_template_holds_one_class_name(template):
    with pytest.raises(UsageError, match="does not hold one"):
        TaskOptions(templates=(template,))


def test_no_noise_seed_is_refused():
    with pytest.raises(UsageError, match="0 noise seeds"):
        TaskOptions(noise_seeds=0)


def test_class_names_a_set_does_not_have():
    dataset = made_up.labelled(np.arange(4), 4)
    bare = replace(dataset, class_names={"dataset": dataset.class_names["dataset"]})
    assert TaskOptions().class_variant(bare) == "dataset"
    with pytest.raises(UsageError, match="choose one of: dataset"):
        TaskOptions(class_names="openai").class_variant(bare)
