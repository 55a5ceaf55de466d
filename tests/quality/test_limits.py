import pytest

from tag_rewards.quality.measures import Limit, resolve


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("laplacian>=100", Limit("laplacian", ">=", 100)),
        ("exposure <= 0.9", Limit("exposure", "<=", 0.9)),
        ("laplacian>=p5", Limit("laplacian", ">=", 5, percentile=True)),
        ("|yaw|<=45", Limit("yaw", "<=", 45, absolute=True)),
        ("|pitch|<=p99.5", Limit("pitch", "<=", 99.5, percentile=True, absolute=True)),
        ("roll>=-30", Limit("roll", ">=", -30)),
    ],
)
def test_a_limit_is_read_and_written(text, limit):
    assert Limit.parse(text) == limit
    assert Limit.parse(str(limit)) == limit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("laplacian", "'laplacian' is no limit; write for example 'laplacian>=100'"),
        ("laplacian>5", "'laplacian>5' is no limit"),
        ("|yaw<=45", r"'\|yaw<=45' is no limit"),
        ("sharpness>=5", "'sharpness' is not measured; there are laplacian, tenengrad"),
        ("laplacian>=p101", "laplacian>=p101: a percentile is 0 to 100"),
    ],
)
def test_what_is_no_limit_is_refused_with_a_reason(text, message):
    with pytest.raises(ValueError, match=message):
        Limit.parse(text)


@pytest.mark.parametrize(
    ("text", "measured", "kept"),
    [
        ("yaw<=45", -60, True),
        ("|yaw|<=45", -60, False),
        ("|yaw|<=45", -45, True),
        ("n_faces<=1", 1, True),
        ("n_faces<=1", 2, False),
        ("yaw<=45", None, False),
    ],
)
def test_what_is_within_a_limit(text, measured, kept):
    parsed = Limit.parse(text)
    [limit] = resolve([parsed], {parsed.measure: [0.0]})
    assert limit.is_kept(measured) is kept


def test_a_percentile_of_absolute_values():
    [limit] = resolve([Limit.parse("|yaw|<=p50")], {"yaw": [-40.0, 10.0, None, -20.0]})
    assert limit.bound == 20
    assert str(limit) == "|yaw|<=p50 (20)"


@pytest.mark.parametrize("text", ["yaw<=p50", "yaw<=45"])
def test_a_limit_on_what_no_image_has_is_refused(text):
    with pytest.raises(ValueError, match=f"{text}: no image has yaw; give evidence with faces"):
        resolve([Limit.parse(text)], {"yaw": [None]})
