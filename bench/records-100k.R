# 100,000 patients x 365 days from records, 3.7 million exposed pairs: the case
# that the paper of a peer reports.
source("bench/common.R")
need_engine()

measure_records("records-100k", 100000, "0.4 s")
