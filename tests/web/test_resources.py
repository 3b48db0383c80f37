"""`apptuner_relay.web.page` and `sessions`: the page's files, and what an operator does."""

import hashlib
import re
from itertools import combinations
from urllib.parse import urljoin

from twisted.internet.address import UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.web.page import read_static
from tests.memory import Relay
from tests.web.http import REMOTE, Answer, Visitor

HTML = "text/html,application/xhtml+xml,*/*;q=0.8"
TOKEN = "correct-horse-battery"


class Page(SynchronousTestCase):
    def assertPage(self, answer: Answer, status: int, text: bytes) -> None:
        self.assertEqual(answer.status, status)
        self.assertEqual(answer.headers["content-type"], "text/html; charset=utf-8")
        self.assertIn(text, answer.body)
        policy = answer.headers["content-security-policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertNotIn("unsafe", policy)
        self.assertNotIn("http", policy)

    def test_the_page(self) -> None:
        here = Visitor(Relay().service)
        answer = here.ask("/")
        self.assertPage(answer, 200, b"The last hour")
        self.assertEqual(answer.headers["cache-control"], "no-store")
        head = here.ask("/", "HEAD")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["content-length"], str(len(answer.body)))
        self.assertEqual(here.ask("/", "POST").status, 405)

    def test_the_page_may_be_linked_to(self) -> None:
        answer = Visitor(Relay().service).ask("/", Sec_Fetch_Site="cross-site")
        self.assertEqual(answer.status, 200)

    def test_a_browser_that_is_not_let_in_gets_a_page(self) -> None:
        elsewhere = Visitor(Relay().service, REMOTE).ask("/", Accept=HTML)
        self.assertPage(elsewhere, 403, b"--admin-token")
        sign_in = Visitor(Relay(admin_token=TOKEN).service).ask("/", Accept=HTML)
        self.assertPage(sign_in, 401, b"Admin token")
        self.assertIn("www-authenticate", sign_in.headers)

    def test_a_program_that_is_not_let_in_gets_json(self) -> None:
        for peer in (REMOTE, UNIXAddress(None)):
            answer = Visitor(Relay().service, peer).ask("/")
            self.assertEqual(answer.status, 403)
            self.assertTrue(answer.error)

    def test_other_paths_are_nowhere(self) -> None:
        here = Visitor(Relay().service)
        for path in ("/x", "/index.html", "/static", "/static/", "/static/status.html"):
            answer = here.ask(path)
            self.assertEqual((answer.status, answer.error), (404, "Not found"), path)
        for path in ("/api", "/api/", "/api/x", "/api/x/y", "/api/sessions/00000000/x"):
            answer = here.ask(path)
            self.assertEqual((answer.status, answer.error[:9]), (404, "Not found"), path)
        for path in ("/static/../site.py", "/static/%2e%2e/site.py", "/static/page.css/x"):
            self.assertEqual(here.ask(path).status, 404, path)

    def test_all_that_the_pages_name_is_there(self) -> None:
        elsewhere = Visitor(Relay().service, REMOTE)
        types = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
        for name, body in read_static().items():
            names = re.findall(r'(?:src|href)="(static/[^"]+)"|from \'(\./[^\']+)\'', body.decode())
            for link in (one or urljoin("static/", other) for one, other in names):
                answer = elsewhere.ask(f"/{link}")
                self.assertEqual(answer.status, 200, f"{name}: {link}")
                expected = types[link.rpartition(".")[2]]
                self.assertEqual(answer.headers["content-type"].partition(";")[0], expected)

    def test_nothing_comes_from_elsewhere(self) -> None:
        for name, body in read_static().items():
            found = set(re.findall(r"\w+://[^\"'\s)]+", body.decode()))
            self.assertLessEqual(found, {"http://www.w3.org/2000/svg"}, name)

    def test_files_are_not_sent_twice(self) -> None:
        here = Visitor(Relay().service)
        first = here.ask("/static/page.css")
        again = here.ask("/static/page.css", If_None_Match=first.headers["etag"])
        self.assertEqual((again.status, again.body), (304, b""))
        self.assertEqual(here.ask("/static/page.css", If_None_Match='"x"').status, 200)


class Sessions(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()
        self.operator = Visitor(self.relay.service)

    def close(self, prefix: str) -> Answer:
        return self.operator.ask(f"/api/sessions/{prefix}/close", "POST")

    def test_the_list(self) -> None:
        self.assertEqual(self.operator.ask("/api/sessions").json(), {"sessions": []})
        self.relay.connect("/cli/ABC234")
        self.relay.connect("/mobile/ABC234?deviceId=d1&name=Pixel&platform=android")
        answer = self.operator.ask("/api/sessions")
        (session,) = answer.json()["sessions"]
        self.assertEqual(session["session"], label("ABC234"))
        self.assertEqual(sorted(session["roles"]), ["cli", "mobile"])
        self.assertEqual(session["devices"][0]["name"], "Pixel")
        self.assertNotIn(b"ABC234", answer.body)

    def test_a_part_of_the_list(self) -> None:
        for session, notices in (("ABC234", 1), ("XYZ789", 3), ("QWE456", 2)):
            self.relay.connect(f"/cli/{session}")
            for _ in range(notices):
                self.relay.connect(f"/mobile/{session}")

        def listed(query: str) -> list[str]:
            rows = self.operator.ask(f"/api/sessions{query}").json()["sessions"]
            return [row["session"] for row in rows]

        busiest = [label(session) for session in ("XYZ789", "QWE456", "ABC234")]
        self.assertEqual(listed(""), busiest)
        self.assertEqual(listed("?most=2"), busiest[:2])
        self.assertEqual(listed("?most=100"), busiest)
        for wrong in ("0", "-1", "x", "1.5", "9" * 10, "%FF"):
            self.assertEqual(self.operator.ask(f"/api/sessions?most={wrong}").status, 400, wrong)

    def test_closing_one(self) -> None:
        cli = self.relay.connect("/cli/ABC234")
        phone = self.relay.connect("/mobile/ABC234")
        other = self.relay.connect("/cli/XYZ789")
        answer = self.close(label("ABC234"))
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json(), {"session": label("ABC234"), "closed": 2})
        for client in (cli, phone):
            client.read()
            self.assertEqual(client.closed, (1000, "Closed by the operator"))
        other.read()
        self.assertIsNone(other.closed)
        self.assertEqual(self.close(label("ABC234")).status, 404)

    def test_closing_by_the_whole_hash(self) -> None:
        self.relay.connect("/cli/ABC234")
        whole = hashlib.sha256(b"ABC234").hexdigest()
        self.assertEqual(self.close(whole).json()["closed"], 1)

    def test_what_names_no_session(self) -> None:
        self.relay.connect("/cli/ABC234")
        self.assertEqual(self.close("00000000").status, 404)
        for prefix in ("abc", "ABC234", "zzzzzzzz", "a" * 65, "%C3%BCber", "0000%0a"):
            answer = self.close(prefix)
            self.assertEqual(answer.status, 400, prefix)
            self.assertNotIn(prefix, answer.error)

    def test_what_names_several(self) -> None:
        ids = [f"S{i}" for i in range(2000)]
        one, two = next(p for p in combinations(ids, 2) if label(p[0])[:4] == label(p[1])[:4])
        clients = [self.relay.connect(f"/cli/{session}") for session in (one, two)]
        answer = self.close(label(one)[:4])
        self.assertEqual(answer.status, 409)
        self.assertIn("2 sessions", answer.error)
        for client in clients:
            client.read()
            self.assertIsNone(client.closed)

    def test_looking_closes_nothing(self) -> None:
        self.relay.connect("/cli/ABC234")
        for path in (f"/api/sessions/{label('ABC234')}", "/api/sessions/"):
            self.assertEqual(self.operator.ask(path).status, 404)
        answer = self.operator.ask(f"/api/sessions/{label('ABC234')}/close")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "POST"))
        self.assertEqual(self.relay.service.connections, 1)


def label(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()[:8]
