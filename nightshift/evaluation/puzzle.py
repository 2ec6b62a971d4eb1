"""Judges solved puzzles. No TensorFlow."""

import math

import numpy as np

from nightshift.evaluation.judgement import Answered, Gallery, Judgement, TraitColumns, roc_curve
from nightshift.evaluation.slices import cycle_types, displaced_tiles, picture_traits, seam_texture


class PuzzleJudge:
    """Adds up batches of a puzzle solver's answers.

    A puzzle counts as solved if the reassembled pixels equal the original: equal tiles can stand for each other.
    """

    def __init__(self, permutations: np.ndarray) -> None:
        self.permutations = permutations
        self.grid = math.isqrt(permutations.shape[1])
        self._gallery = Gallery()
        self._exact: list[np.ndarray] = []
        self._positions: list[np.ndarray] = []
        self._valid: list[np.ndarray] = []
        self._shuffled: list[tuple[np.ndarray, np.ndarray]] = []
        self._targets: list[np.ndarray] = []
        self._traits = TraitColumns()

    def add(self, batch: Answered) -> None:
        """Look at a batch; its targets are classes of permutations, int32 [B]."""
        originals, answers = batch.originals, batch.answers
        truth, answer = self.permutations[batch.targets], answers["permutation"]
        exact = (answers["solved"] == originals).all(axis=(1, 2, 3))
        columns = {
            "shuffled": batch.inputs,
            "solved": answers["solved"],
            "original": originals,
            "permutation": answer,
            "truth": truth,
            "probability": answers["probability"],
        }
        right = np.take_along_axis(answers["position_probabilities"], truth[..., None], axis=2)[..., 0]
        losses = -np.log(np.maximum(right, 1e-12)).mean(axis=1)
        self._gallery.add(exact, losses, columns)
        self._exact.append(exact)
        self._targets.append(batch.targets)
        self._traits.add(picture_traits(originals) | {"texture at the seams": seam_texture(originals, self.grid)})
        self._positions.append(answer == truth)
        self._valid.append((np.sort(answer, axis=1) == np.arange(answer.shape[1])).all(axis=1))
        moved = (truth != np.arange(truth.shape[1])).any(axis=1)
        self._shuffled.append((moved, answers["shuffled_probability"]))
        self._shuffled.append((np.zeros(len(moved), bool), batch.answers_to_originals["shuffled_probability"]))

    def judgement(self) -> Judgement:
        """exact: solved; per_position: right slots; valid: permutations; shuffled_auc: in order or not."""
        exact, positions = np.concatenate(self._exact), np.concatenate(self._positions)
        truth, scores = (np.concatenate(column) for column in zip(*self._shuffled, strict=True))
        curves = [roc_curve("shuffled", truth, scores)] if truth.any() else []
        orders = self.permutations[np.concatenate(self._targets)]
        return Judgement(
            count=len(exact),
            metrics={
                "exact": float(exact.mean()),
                "per_position": float(positions.mean()),
                "valid": float(np.concatenate(self._valid).mean()),
            }
            | ({"shuffled_auc": curves[0]["auc"]} if curves else {}),
            correct=exact,
            roc=curves,
            gallery=self._gallery.arrays(),
            traits=[displaced_tiles(orders), cycle_types(orders), *self._traits.traits()],
        )
