from weighbridge.domain.choke_point import REQUIRED_INPUTS, ChokePoint, Input


def test_there_are_exactly_four():
    """The words of the contract: there is no fifth, and no ad-hoc one."""
    assert [point.value for point in ChokePoint] == [
        "BEFORE_PLAN_APPROVAL",
        "BEFORE_STEP_EXECUTION",
        "BEFORE_EXTERNAL_WRITEBACK",
        "BEFORE_EXPENSIVE_READ",
    ]


def test_every_choke_point_requires_what_the_table_says():
    """G5: the table of the contract."""
    required = {point: {name.value for name in inputs} for point, inputs in REQUIRED_INPUTS.items()}
    assert required == {
        ChokePoint.BEFORE_PLAN_APPROVAL: {"plan", "snapshot", "data_sources", "evidence"},
        ChokePoint.BEFORE_STEP_EXECUTION: {"proposal", "snapshot", "data_sources", "evidence"},
        ChokePoint.BEFORE_EXTERNAL_WRITEBACK: {"proposal", "snapshot", "evidence"},
        ChokePoint.BEFORE_EXPENSIVE_READ: {"proposal"},
    }
    assert {name.value for name in Input} == set().union(*required.values())
