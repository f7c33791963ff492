"""`manage.py bench`: how much the product costs beside what nothing could do cheaper (its floors).

Owns: a database of its own with generated data, load over HTTP, the floors, medians and ratios.
Does not own: any figure of the product; it calls the same services and the same web server as everybody else.

Floor and product alternate in one run (A B A B …), so that a slow or busy machine slows both: ratios count. CPU is that
of the server processes as the kernel counts it, not the load generator's.
"""
