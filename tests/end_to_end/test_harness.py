"""The harness itself: what it says about a kernel is what the kernel did."""

from tests.end_to_end.kernel import Kernel


def test_outputs_are_those_a_notebook_would_save(kernel: Kernel) -> None:
    found = kernel.execute("print('a'); print('b')\nh = display('x', display_id=True); h.update('y')\n1 + 1")
    assert [output["output_type"] for output in found] == ["stream", "display_data", "execute_result"]
    assert found[0]["text"] == "a\nb\n"
    assert found[1]["data"]["text/plain"] == "'y'"


def test_a_kernel_cannot_leave_this_machine(kernel: Kernel) -> None:
    found = kernel.execute("import socket; socket.create_connection(('192.0.2.1', 80))")
    assert found[0]["output_type"] == "error"
    assert "may not leave" in found[0]["evalue"]
