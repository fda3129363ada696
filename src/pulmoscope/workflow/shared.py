"""Which radiographs a trained network knows already: those it learned from, and their patients' and copies'."""

from __future__ import annotations

import pandas as pd

from pulmoscope.cohort import Cohort, group_rows
from pulmoscope.workflow.run import Run


def shared_with_training(run: Run, cohort: Cohort) -> list[str]:
    """Ids of the cohort's radiographs that stand in a group with one the model has learned or been chosen on."""
    learned = run.cohort.frame
    learned = learned[learned["split"].isin(["train", "val"])]
    both = pd.concat(
        [learned.assign(image_id="trained:" + learned["image_id"]), cohort.frame], ignore_index=True
    )
    groups = group_rows(both)
    trained = set(groups[both["image_id"].str.startswith("trained:")])
    ours = both.index >= len(learned)
    return sorted(both.loc[ours & groups.isin(trained).to_numpy(), "image_id"])
