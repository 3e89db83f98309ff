"""What a child process does: one job after another in its main thread, watched by a guard.

The driver starts it as leader of a session, and so of a process group, of its own. The guard, a
fork made before anything heavy is loaded, waits for the end of the driver or of the child, and
then stops the whole group: no Python code of a job that hangs has to run for that.
"""

import contextlib
import faulthandler
import os
import select
import signal
import sys
import traceback
from multiprocessing.connection import Connection

READY = b"ready"
MORE, LAST = b"+", b"-"  # before a record: whether this process takes another order
SAY_WHERE = signal.SIGUSR1  # print where every thread is; sent before a child is stopped


def main(orders: int, lifeline: int) -> None:
    """Answer each order with a record until the driver hangs up; the arguments are descriptors.

    `orders` is one end of a multiprocessing pipe; `lifeline` the reading end of a plain one that
    the driver alone holds open.
    """
    _guard(lifeline, orders)
    faulthandler.enable()
    faulthandler.register(SAY_WHERE)
    connection: Connection = Connection(orders)

    from lrsuggest.bench.engines.work import failed, one_thread, run
    from lrsuggest.bench.jobs.job import Order
    from lrsuggest.bench.jobs.record import encode

    one_thread()
    connection.send_bytes(READY)
    while True:
        try:
            order = Order.decode(connection.recv_bytes())
        except (EOFError, OSError):
            return
        broken = False
        try:
            record = run(order)
        except Exception as error:
            traceback.print_exc()
            record = failed(order.job, error)
            broken = order.job.device.startswith("cuda")  # what CUDA holds is in doubt now
        sys.stdout.flush()
        sys.stderr.flush()
        connection.send_bytes((LAST if broken else MORE) + encode(record))
        if broken:
            return


def _guard(lifeline: int, orders: int) -> None:
    """Leave a process that stops the group once the driver or this process has ended."""
    here, there = os.pipe()
    if os.fork():
        os.close(here)
        os.close(lifeline)
        os.set_inheritable(there, False)
        return
    os.close(there)
    os.close(orders)  # or the driver would not notice the child's end
    with contextlib.suppress(BaseException):
        ends = select.poll()  # select() takes no descriptor above 1023
        for each in (lifeline, here):
            ends.register(each)
        ends.poll()
    os.killpg(0, signal.SIGKILL)
