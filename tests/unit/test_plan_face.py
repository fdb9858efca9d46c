"""What a library user does with plans: tenants, looking, and who may at all."""

import pytest

from tests.planned import AGENT, TENANT, World, approved, opened, proposed
from weighbridge.domain.context import Role
from weighbridge.domain.plan import PlanStatus
from weighbridge.domain.principal import Principal
from weighbridge.errors import NotFound, TenantMismatch, UsageError
from weighbridge.testing.plans import plan_document, plan_of


@pytest.fixture
def wb():
    with opened(world=World()) as made:
        yield made


def test_plans_are_listed_by_status(wb):
    approved(wb)
    proposed(wb, "p-0")
    assert [row.plan_id for row in wb.plans(tenant_id=TENANT)] == ["p-0", "p-1"]
    assert [row.plan_id for row in wb.plans(status="APPROVED", tenant_id=TENANT)] == ["p-1"]
    assert [row.plan_id for row in wb.plans(status=[PlanStatus.DRAFT, "ACTIVE"], tenant_id=TENANT)] == ["p-0"]
    with pytest.raises(UsageError, match="write one of DRAFT"):
        wb.plans(status="OPEN", tenant_id=TENANT)


def test_a_document_is_read_back(wb):
    proposed(wb)
    assert wb.plan_document("p-1", TENANT) == plan_of()
    with pytest.raises(NotFound):
        wb.plan_document("p-2", TENANT)


def test_the_tenant_is_the_credentials(wb):
    """L5: a request may repeat it, and not choose another; where there is none, the person's or the document's."""
    with opened(world=World(), principal=Principal(id="host", tenant_id=TENANT)) as own:
        own.propose_plan(plan_document())
        assert own.plan("p-1").plan_id == "p-1"
        for ask in (own.plan, own.plan_document, own.advance_plan, own.run_plan):
            with pytest.raises(TenantMismatch):
                ask("p-1", "other")
        with pytest.raises(TenantMismatch):
            own.plans(tenant_id="other")
        with pytest.raises(TenantMismatch):
            own.propose_plan(plan_document(tenant_id="other"))
    wb.propose_plan(plan_document())
    maria = Principal(id="maria", role=Role.APPROVER, person=True, tenant_id=TENANT)
    wb.submit_plan("p-1", by=maria)
    assert wb.approve_plan("p-1", by=maria, revision=2).approved


def test_what_a_document_says_is_not_what_is_asked_for(wb):
    with pytest.raises(TenantMismatch, match="is of tenant `acme`, and is proposed for `other`"):
        wb.propose_plan(plan_document(), tenant_id="other")


def test_another_tenants_plan_is_none(wb):
    """L5: not even that there is one."""
    proposed(wb)
    for act in (lambda: wb.plan("p-1"), lambda: wb.advance_plan("p-1"), lambda: wb.submit_plan("p-1", by=AGENT)):
        with pytest.raises(NotFound, match="tenant `default` has no plan"):
            act()


def test_the_reader_shows_plans_of_its_own_tenant(wb):
    proposed(wb)
    assert wb.reader.plan(TENANT, "p-1") == wb.plan("p-1", TENANT)
    assert [row.plan_id for row in wb.reader.plans(TENANT)] == ["p-1"]
