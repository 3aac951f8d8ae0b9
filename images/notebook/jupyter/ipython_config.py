"""IPython in the images: no history database at home, which locks on network file systems and fails on a full one."""

c = get_config()  # noqa: F821
c.HistoryManager.hist_file = ":memory:"
