import asyncio

from medsafety import AsyncMedsafetyClient, MedsafetyClient
from medsafety.v1 import feedback_service_pb2 as wire
from tests.client.fake_server import Fake

ITEM = wire.Feedback(alert_id="a", outcome=wire.FEEDBACK_OUTCOME_ACCEPTED)


def test_feedback_goes_out_and_its_ids_and_sums_come_back(fake: Fake) -> None:
    fake.answers = {
        "RecordFeedback": lambda asked, context: wire.RecordFeedbackResponse(feedback_ids=["f"] * len(asked.items)),
        "SummarizeAlerts": lambda asked, context: wire.SummarizeAlertsResponse(
            summaries=[wire.AlertSummary(rule_id=asked.rule_id, site=asked.site, month=asked.from_month)]
        ),
    }

    async def ask() -> tuple[list[str], wire.SummarizeAlertsResponse]:
        async with AsyncMedsafetyClient(fake.target) as client:
            ids = await client.record_feedback([ITEM, ITEM])
            return ids, await client.summarize_alerts(rule_id="r", site="s", from_month="2026-10", to_month="2026-11")

    with MedsafetyClient(fake.target) as client:
        ids = client.record_feedback([ITEM, ITEM])
        sums = client.summarize_alerts(rule_id="r", site="s", from_month="2026-10", to_month="2026-11")

    assert ids == ["f", "f"]
    assert [(each.rule_id, each.site, each.month) for each in sums.summaries] == [("r", "s", "2026-10")]
    assert asyncio.run(ask()) == (ids, sums)
    assert wire.RecordFeedbackRequest(items=[ITEM, ITEM]) in fake.asked
