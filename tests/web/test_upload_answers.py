"""`apptuner_relay.web.upload_answers`: what has become of an upload, as HTTP says it."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.bundle_receipt import Receipt
from apptuner_relay.relay.bundle_receipt_states import OUTCOMES, ReceiptState
from apptuner_relay.session.session import BadRequest
from apptuner_relay.web.upload_answers import (
    RESULTS,
    answer_receipt,
    answer_refusal,
    refusal_of_close,
)


class ReceiptsTest(SynchronousTestCase):
    def test_only_what_is_kept_is_a_success(self) -> None:
        statuses = {}
        for outcome in OUTCOMES:
            answer = answer_receipt(Receipt(outcome, 3), "ab", 7, "/bundles/A")
            statuses[outcome] = answer.status
            found = {"sha256": "ab", "size": 7, "phones": 3}
            self.assertEqual(answer.fields, answer.fields | found)
            self.assertEqual("error" in answer.fields, outcome is not ReceiptState.KEPT)
            self.assertIn(str(answer.status), RESULTS)
        self.assertEqual(
            statuses,
            {
                ReceiptState.KEPT: 201,
                ReceiptState.SUPERSEDED: 409,
                ReceiptState.NOT_KEPT: 507,
            },
        )

    def test_where_it_can_be_had(self) -> None:
        receipt = Receipt(ReceiptState.KEPT, 0)
        answer = answer_receipt(receipt, "ab", 7, "https://relay.example.com/bundles/A")
        self.assertEqual(answer.fields["url"], "https://relay.example.com/bundles/A/ab")
        self.assertEqual(answer.headers, (("Location", "https://relay.example.com/bundles/A/ab"),))


class RefusalsTest(SynchronousTestCase):
    def test_when_to_try_again(self) -> None:
        for wrong, headers in (
            (BadRequest(503, "full"), (("Retry-After", "5"),)),
            (BadRequest(503, "full", (("Retry-After", "60"),)), (("Retry-After", "60"),)),
            (BadRequest(403, "no"), ()),
        ):
            answer = answer_refusal(wrong)
            self.assertEqual(answer.headers, headers)
            self.assertEqual((answer.status, answer.fields), (wrong.status, {"error": str(wrong)}))

    def test_close_codes(self) -> None:
        for code, status in (
            (1000, 409),
            (1007, 400),
            (1008, 403),
            (1009, 413),
            (1011, 500),
            (1012, 503),
            (1013, 503),
            (4999, 503),
        ):
            wrong = refusal_of_close(code, "why")
            self.assertEqual((wrong.status, str(wrong)), (status, "why"))
