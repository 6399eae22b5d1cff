"""Many tomograms in one run: `segment` over several of them, and `watch-folder`.

A :class:`~cryomamba_cli.batch.session.Session` holds their states and is pure. Around it are thin shells: one looks at
the folder, one runs the engine or submits to a server, and one writes the report.
"""
