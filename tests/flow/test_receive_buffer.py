"""`apptuner_relay.flow.receive_buffer`: what is lent comes back when nobody holds it any more."""

from threading import Barrier, Thread

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.receive_buffer import MOST_BUFFERS, BufferLoan, BufferShare, ReceiveBuffer


class Lending(SynchronousTestCase):
    def setUp(self) -> None:
        self.buffer = ReceiveBuffer()

    def lend(self) -> BufferLoan:
        loan = self.buffer.lend()
        assert loan is not None
        return loan

    def test_there_is_another_meanwhile(self) -> None:
        first = self.buffer.data
        self.lend()
        self.assertIsNot(self.buffer.data, first)
        self.assertEqual(self.buffer.room.nbytes, self.buffer.view.nbytes - self.buffer.START)
        self.assertIs(self.buffer.room.obj, self.buffer.data)

    def test_comes_back_with_its_last_share(self) -> None:
        first = self.buffer.data
        loan = self.lend()
        shares = [loan.share() for _ in range(3)]
        loan.seal()
        for share in shares[:2]:
            share.release()
            share.release()
        self.lend()
        self.assertIsNot(self.buffer.data, first)
        shares[2].release()
        self.lend()
        self.assertIs(self.buffer.data, first)

    def test_comes_back_when_it_is_sealed(self) -> None:
        first = self.buffer.data
        loan = self.lend()
        loan.share().release()
        self.lend()
        self.assertIsNot(self.buffer.data, first)
        loan.seal()
        loan.seal()
        self.lend()
        self.assertIs(self.buffer.data, first)

    def test_there_are_no_more_than_so_many(self) -> None:
        loans = [self.lend() for _ in range(MOST_BUFFERS - 1)]
        data = self.buffer.data
        self.assertIsNone(self.buffer.lend())
        self.assertIs(self.buffer.data, data)
        for loan in loans:
            loan.seal()
        again = [self.lend() for _ in range(MOST_BUFFERS - 1)]
        self.assertEqual(len(again), MOST_BUFFERS - 1)
        self.assertIsNone(self.buffer.lend())

    def test_several_threads_let_go_at_once(self) -> None:
        for _ in range(50):
            loan = self.lend()
            shares = [loan.share() for _ in range(4)]
            loan.seal()
            start = Barrier(3)

            def let_go(shares: list[BufferShare] = shares, start: Barrier = start) -> None:
                start.wait(30)
                for share in shares:
                    share.release()

            threads = [Thread(target=let_go) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        loans = [self.lend() for _ in range(2)]
        # It has come back once each time, so there are two in all.
        self.assertEqual(len({id(loan._data) for loan in loans} | {id(self.buffer.data)}), 3)
        self.assertEqual(self.buffer._count, 3)


class Short(SynchronousTestCase):
    def test_little_is_received_at_once_while_no_other_buffer_is_left(self) -> None:
        buffer = ReceiveBuffer()
        loans = [buffer.lend() for _ in range(MOST_BUFFERS - 1)]
        self.assertEqual(len(buffer.next_room), len(buffer.room))
        self.assertIsNone(buffer.lend())
        self.assertLess(len(buffer.next_room), len(buffer.room) / 4)
        for loan in loans:
            assert loan is not None
            loan.seal()
        self.assertIsNotNone(buffer.lend())
        self.assertEqual(len(buffer.next_room), len(buffer.room))
