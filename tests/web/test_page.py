"""`apptuner_relay.web.page`: the status page and its files."""

import re
from urllib.parse import urljoin

from twisted.internet.address import UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.web.page import read_static
from tests.memory import Relay
from tests.web.http import REMOTE, Answer, Requester

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
        here = Requester(Relay().service)
        answer = here.ask("/")
        self.assertPage(answer, 200, b"Needs attention")
        self.assertEqual(answer.headers["cache-control"], "no-store")
        head = here.ask("/", "HEAD")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["content-length"], str(len(answer.body)))
        self.assertEqual(here.ask("/", "POST").status, 405)

    def test_the_page_may_be_linked_to(self) -> None:
        answer = Requester(Relay().service).ask("/", Sec_Fetch_Site="cross-site")
        self.assertEqual(answer.status, 200)

    def test_a_browser_that_is_not_let_in_gets_a_page(self) -> None:
        elsewhere = Requester(Relay().service, REMOTE).ask("/", Accept=HTML)
        self.assertPage(elsewhere, 403, b"--admin-token")
        sign_in = Requester(Relay(admin_token=TOKEN).service).ask("/", Accept=HTML)
        self.assertPage(sign_in, 401, b"Admin token")
        self.assertIn("www-authenticate", sign_in.headers)

    def test_a_program_that_is_not_let_in_gets_json(self) -> None:
        for peer in (REMOTE, UNIXAddress(None)):
            answer = Requester(Relay().service, peer).ask("/")
            self.assertEqual(answer.status, 403)
            self.assertTrue(answer.error)

    def test_the_page_of_a_session_is_for_everybody(self) -> None:
        for requester in (Requester(Relay().service, REMOTE), Requester(Relay().service)):
            answer = requester.ask("/s", Sec_Fetch_Site="cross-site")
            self.assertPage(answer, 200, b"Which session?")
            self.assertEqual(answer.headers["cache-control"], "no-store")
        back = requester.ask("/s/")
        self.assertEqual((back.status, back.headers["location"]), (308, "../s"))
        # Whoever puts an id into the path is told where it belongs.
        for path in ("/s/ABC234", "/s//", "/s/ABC234/"):
            answer = requester.ask(path)
            self.assertEqual(answer.status, 404)
            self.assertIn("/s#ID", answer.error)

    def test_other_paths_are_nowhere(self) -> None:
        here = Requester(Relay().service)
        for path in ("/x", "/index.html", "/static", "/static/", "/static/status.html"):
            answer = here.ask(path)
            self.assertEqual((answer.status, answer.error), (404, "Not found"), path)
        for path in ("/api", "/api/", "/api/x", "/api/x/y", "/api/sessions/00000000/x"):
            answer = here.ask(path)
            self.assertEqual((answer.status, answer.error[:9]), (404, "Not found"), path)
        for path in ("/static/../site.py", "/static/%2e%2e/site.py", "/static/page.css/x"):
            self.assertEqual(here.ask(path).status, 404, path)

    def test_all_that_the_pages_name_is_there(self) -> None:
        elsewhere = Requester(Relay().service, REMOTE)
        types = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
        for name, body in read_static().items():
            names = re.findall(r'(?:src|href)="(static/[^"]+)"|from \'(\./[^\']+)\'', body.decode())
            for link in (one or urljoin("static/", other) for one, other in names):
                answer = elsewhere.ask(f"/{link}")
                self.assertEqual(answer.status, 200, f"{name}: {link}")
                expected = types[link.rpartition(".")[2]]
                self.assertEqual(answer.headers["content-type"].partition(";")[0], expected)

    def test_there_is_advice_on_every_warning(self) -> None:
        relay = Relay()
        answer = Requester(relay.service, REMOTE).ask("/advice")
        self.assertEqual((answer.status, answer.headers["content-type"][:9]), (200, "text/html"))
        names = set(re.findall(r'<section id="(\w+)">', answer.body.decode()))
        self.assertLessEqual(set(relay.service.meters.health.conditions.levels), names)
        self.assertNotIn("](", answer.body.decode())

    def test_nothing_comes_from_elsewhere(self) -> None:
        for name, body in read_static().items():
            found = set(re.findall(r"\w+://[^\"'\s)]+", body.decode()))
            self.assertLessEqual(found, {"http://www.w3.org/2000/svg"}, name)

    def test_files_are_not_sent_twice(self) -> None:
        here = Requester(Relay().service)
        first = here.ask("/static/page.css")
        again = here.ask("/static/page.css", If_None_Match=first.headers["etag"])
        self.assertEqual((again.status, again.body), (304, b""))
        self.assertEqual(here.ask("/static/page.css", If_None_Match='"x"').status, 200)
