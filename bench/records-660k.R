# 660,000 patients x 365 days from records: 24 million exposed pairs.
source("bench/common.R")
need_engine()

measure_records("records-660k", 660000, "2 s", "1.5 GB")
