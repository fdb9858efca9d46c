from weighbridge.policy.mistakes import closest, listed, where


def test_places_are_written_as_people_write_them():
    assert where(("contradiction", "rules", 2, "values")) == "contradiction.rules[2].values"
    assert where(("operations", "crm.read", "kind")) == 'operations."crm.read".kind'
    assert where(("a", "")) == 'a.""'
    assert where(("a", 'x"y\n')) == 'a."x\\"y\\n"'
    assert where(()) == ""


def test_the_closest_name_is_offered_only_when_it_is_close():
    assert closest("sfot_ttl", ["soft_ttl", "hard_ttl"]) == "soft_ttl"
    assert closest("Soft-TTL", ["soft_ttl", "hard_ttl"]) == "soft_ttl"
    assert closest("colour", ["soft_ttl", "hard_ttl"]) == ""


def test_lists_of_names_are_in_backticks():
    assert listed(["a", "b"]) == "`a`, `b`"
