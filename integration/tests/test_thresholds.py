"""The evaluation's thresholds: the lowest that keep to the limits, and blind to the source they are judged on."""

import random

from eval import nested

KINDS = {"benign.a_one": "ordinary", "benign.b_two": "hard", "benign.c_three": "hard, not English",
         "benign.d_four": "ordinary, not English", "indirect.e_five": "documents and tool results"}


def source(name):
    return name.split(".", 1)[1].split("_")[0]


def texts(draw):
    """Rows of every harmless kind and of attacks, in zones and at scores drawn by chance."""
    rows = []
    for file in [*KINDS, "attack.f_six"]:
        for number in range(draw.randrange(1, 700)):
            score = draw.choice([draw.randrange(0, 5), draw.randrange(0, 101)])
            blocked, reason, changed = draw.choice([(False, None, None), (True, "scan.injection", None),
                                                    (True, "scan.secret", None), (True, None, "mask")])
            rows.append({"file": file, "id": str(number), "label": "attack" if file in ("attack.f_six",) else "benign",
                         "zone": draw.choice(["user", "tool", "document", "system"]), "score": score,
                         "scorerScore": score, "blocked": blocked, "reason": reason, "changed": changed})
    return rows, [{**row, "zone": "assistant"} for row in rows if row["zone"] == "user"]


def test_the_threshold_is_the_lowest_that_keeps_to_the_limit():
    draw = random.Random(1)
    for _ in range(300):
        scores = [draw.choice([draw.randrange(0, 8), draw.randrange(0, 101), 100]) for _ in range(draw.randrange(1, 900))]
        limit = draw.choice([0.0, 0.2, 0.8, 5.0, 100.0])

        def over(threshold, scores=scores):
            return 100 * sum(score >= threshold for score in scores) / len(scores)

        found = nested.lowest(scores, limit)
        assert over(found) <= limit
        assert found == 1 or over(found - 1) > limit


def test_a_source_has_no_say_in_its_own_threshold():
    draw = random.Random(2)
    for _ in range(20):
        rows, spoken = texts(draw)
        for file in KINDS:
            other = [{**row, "score": draw.randrange(0, 101)} if row["file"] == file else row for row in rows]
            said = [{**row, "score": draw.randrange(0, 101)} if row["file"] == file else row for row in spoken]
            before = nested.choose(rows, spoken, KINDS, source(file), source)
            assert nested.choose(other, said, KINDS, source(file), source) == before


def test_every_zone_keeps_to_every_limit_on_the_texts_it_was_chosen_from():
    draw = random.Random(3)
    for _ in range(20):
        rows, spoken = texts(draw)
        chosen = nested.choose(rows, spoken, KINDS, None, source)
        for file, kind in KINDS.items():
            for zone in ("user", "tool", "document"):
                mine = [row["score"] >= chosen[zone] for row in rows if row["file"] == file and row["zone"] == zone]
                assert 100 * sum(mine) <= nested.LIMITS[kind] * len(mine)
        said = [row["score"] >= chosen["assistant"] for row in spoken if row["file"] in KINDS]
        assert 100 * sum(said) <= nested.ANY_LIMIT * len(said)


def test_what_is_refused_for_another_reason_counts_at_any_threshold():
    never = {"x": dict.fromkeys(nested.ZONES, nested.NEVER)}
    row = {"file": "benign.x_y", "zone": "user", "score": 100, "blocked": True, "reason": None, "changed": None}
    cases = [("scan.secret", None, True), ("body.unscanned", None, True), (None, "mask", True),
             ("scan.injection", None, False), (None, "replace", False)]
    for reason, changed, counts in cases:
        assert nested.judge([{**row, "reason": reason, "changed": changed}], never, source) == [counts]
