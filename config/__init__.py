"""config wires the apps together: settings, start-up, the table of periodic jobs, pages that show more than one app.

Owns: how Headroom is started, configured and supervised. Does not own: any rule of the business. Nobody imports it,
except the two modules that import nothing of ours: config.web (answers to HTMX) and config.env (environment readers).
"""
