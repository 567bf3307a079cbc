"""The signal with which servers end kernels is listened to while there may be something to write."""

import signal


def test_the_handler_comes_with_the_first_magic_and_goes_with_the_extension(shell, run):
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    run("%codex history")
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    shell.extension_manager.unload_extension("codex_magic")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    shell.extension_manager.load_extension("codex_magic")


def test_a_handler_of_somebody_else_stays(shell, run):
    def own(number, frame):
        pass

    signal.signal(signal.SIGTERM, own)
    try:
        run("%codex history")
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
