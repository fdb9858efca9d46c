from weighbridge.witnesses.interface import name_of, numbers_in


def test_names_sort_as_numbers_do():
    names = [name_of(number) for number in (9, 10, 1_000_000)]
    assert names == sorted(names)
    assert numbers_in(["x", *reversed(names), "1.checkpoint", ".0000000000000001.checkpoint.7.partial"]) == (
        9,
        10,
        1_000_000,
    )
