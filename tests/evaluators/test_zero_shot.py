import numpy as np
import pytest

from fastclip.evaluators.embeddings import Blocks
from fastclip.evaluators.zero_shot import Classifier, Prompts, decide, own_templates


def test_texts_are_class_by_class_with_all_templates():
    prompts = Prompts("x", ("cat", "dog"), ("a {}.", "the {}."))
    assert prompts.texts == ("a cat.", "the cat.", "a dog.", "the dog.")


def test_a_brace_in_a_class_name_is_a_letter():
    assert Prompts("x", ("{odd}", "b"), ("a {}.",)).texts == ("a {odd}.", "a b.")


def test_class_weights_are_open_clips():
    """open_clip's own builder, handed the same prompt embeddings through a model of one line."""
    torch = pytest.importorskip("torch")
    import open_clip

    prompts = Prompts("x", ("a", "b", "c"), ("{} one", "{} two", "{} three", "{} four"))
    raw = torch.randn(12, 8, generator=torch.Generator().manual_seed(0)).double()
    rows = {text: row for row, text in enumerate(prompts.texts)}

    class Model:
        def encode_text(self, tokens, normalize):
            assert normalize
            return torch.nn.functional.normalize(raw[tokens], dim=-1)

    theirs = open_clip.build_zero_shot_classifier(
        Model(),
        tokenizer=lambda texts: torch.tensor([rows[text] for text in texts]),
        classnames=prompts.classes,
        templates=prompts.templates,
    )
    ours = prompts.class_weights(raw.float().numpy())
    np.testing.assert_allclose(ours, theirs.numpy().T, atol=1e-7)


def test_the_lowest_index_of_a_tie_wins_and_is_counted():
    found = decide(np.array([[0.1, 0.3, 0.3], [0.2, 0.1, 0.0], [0.4, 0.4, 0.4]]))
    np.testing.assert_array_equal(found.decision, [1, 0, 0])
    np.testing.assert_array_equal(found.tie, [True, False, True])
    np.testing.assert_allclose(found.margin, [0, 0.1, 0], atol=1e-7)


def test_rounding_does_not_break_a_tie():
    found = decide(np.array([[0.3, 0.3 + 1e-16, 0.1], [0.3, 0.3 + 1e-9, 0.1]]))
    np.testing.assert_array_equal(found.decision, [0, 1])
    np.testing.assert_array_equal(found.tie, [True, False])


def test_rank_counts_the_classes_ahead():
    cosines = np.random.default_rng(0).integers(0, 6, (200, 9)) / 8
    labels = np.random.default_rng(1).integers(0, 9, 200)
    order = np.argsort(-cosines, axis=1, kind="stable")  # the lowest index first among equals
    expected = [list(row).index(label) for row, label in zip(order, labels, strict=True)]
    found = decide(cosines, labels)
    np.testing.assert_array_equal(found.rank, expected)
    np.testing.assert_array_equal(found.decision, order[:, 0])


def test_two_equal_classes_tie_whatever_the_block():
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(100, 64))
    weights[99] = weights[3]
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    classifier = Classifier(weights)
    rows = rng.normal(size=(600, 64)) / 8 + weights[99]
    classifier.put(rows.astype(np.float32))
    found = classifier.finish()
    assert found.tie.all() and (found.decision == 3).all()


@pytest.mark.parametrize("chunks", [[1300], [1] * 5 + [700, 595], [512, 512, 276], [100] * 13])
def test_blocks_have_one_size_whatever_comes_in(chunks):
    rows = np.arange(1300, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
    taken: list[np.ndarray] = []
    blocks = Blocks(lambda block: taken.append(block.copy()))
    low = 0
    for size in chunks:
        blocks.put(rows[low : low + size])
        low += size
    blocks.close()
    assert [len(block) for block in taken] == [512, 512, 276]
    np.testing.assert_array_equal(np.concatenate(taken), rows)


def test_own_templates_are_named_by_what_they_say():
    assert own_templates(("{}",)) != own_templates(("a {}",))
    assert own_templates(("{}",)).startswith("own-1-")
