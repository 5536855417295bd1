# Writes the last section of docs/scale.md from what bench/nation.R measured:
# its table, and 67 million people worked out in proportion.
#
#   Rscript bench/scale.R            after bench/nation.R 1/10 1/4
#
# Nothing is measured here.

everybody <- 67
per_block <- 0.5 # million people
event_times <- 365
coefficients <- 5

lines <- readLines("bench/results/nation.csv")
machine <- paste(strsplit(sub("^# ", "", lines[1L]), "; ")[[1L]][1:2],
                 collapse = "; ")
found <- utils::read.csv(text = lines[-1L])

number <- function(pattern) {
  text <- regmatches(found$size, regexec(pattern, found$size))
  as.numeric(gsub(",", "", vapply(text, `[[`, "", 2L)))
}
found$people <- number("^([0-9,]+) patients") / 1e6
found$pairs <- number("([0-9.]+) million pairs")
found$events <- number("([0-9,]+) events")
found$disk <- number("([0-9.]+) GB on disk")
built <- found[grepl("to the store", found$what), ]
fitted <- found[grepl("wce", found$what), ]
built <- built[order(built$people), ]
fitted <- fitted[order(fitted$people), ]
last <- nrow(fitted)
seconds <- built$seconds + fitted$seconds

grouped <- function(x) {
  formatC(x, big.mark = ",", format = "d")
}
rows <- sprintf(
  "| %s | %.0f million | %s | %.2f GB | %.0f s | %.0f s | %.2f GB |",
  grouped(round(fitted$people * 1e6)), fitted$pairs, grouped(fitted$events),
  fitted$disk, built$seconds, fitted$seconds, fitted$memory_gb
)

# In proportion to the largest.
times <- everybody / fitted$people[last]
minutes <- function(s) s * times / 60
growth <- if (last > 1L) {
  sprintf(paste("%.1f times the people took %.1f times the time, and held",
                "%.2f GB more for each million people."),
          fitted$people[last] / fitted$people[1L], seconds[last] / seconds[1L],
          diff(fitted$memory_gb[c(1L, last)]) /
            diff(fitted$people[c(1L, last)]))
}
total <- sprintf(
  paste("In proportion to the largest, 67 million people are %.1f GB on disk,",
        "%.1f minutes to the store and %.1f to the fit, %.1f together."),
  fitted$disk[last] * times, minutes(built$seconds[last]),
  minutes(fitted$seconds[last]), minutes(seconds[last])
)

# Bytes that passes move; see "What moves".
blocks <- ceiling(everybody / per_block)
traffic <- function(t, p) {
  blocks * 8 * c(first_up = t + p, first_down = t, second_up = 2 * t + p,
                 second_down = p * t + p * p + p) / 1e6
}
mb <- traffic(event_times, coefficients)
fit_mb <- 4 * mb[1:2] + 3 * mb[3:4]
# Once: what describes the deaths, and the sample's rows with their records.
deaths <- fitted$events[last] * times
sample <- everybody * 1e6 / 64 + deaths
once_mb <- (deaths * 8 * (coefficients + 3) + sample * (60 + 20)) / 1e6
cluster <- minutes(fitted$seconds[last])
text <- c(
  "<!-- written by bench/scale.R -->", "",
  paste0("Measured (", machine, "):"), "",
  paste("| people | exposed pairs | events | store on disk | to the store |",
        "fit | peak memory |"),
  "|---|---|---|---|---|---|---|", rows, "",
  strwrap(paste(growth, total, paste(
    "Memory grows until it reaches what `vigitensor.memory_mb` allows, and no",
    "further."
  )), 80), "",
  strwrap(sprintf(paste(
    "A fit is 9 passes over the blocks, two of which prepare; they cost the",
    "same on any machine and are shared by the workers' threads, so on W",
    "threads where two took %.1f minutes a fit takes about %.1f / W minutes,",
    "as long as each thread has several blocks. With %.0f blocks of 500,000",
    "people, T = %d and p = %d:"
  ), cluster, 2 * cluster, blocks, event_times, coefficients), 80), "",
  "| | up | down |", "|---|---|---|",
  sprintf("| a first pass | %.2f MB | %.2f MB |", mb[1L], mb[2L]),
  sprintf("| a second pass | %.2f MB | %.2f MB |", mb[3L], mb[4L]),
  sprintf("| the whole fit (4 and 3) | %.1f MB | %.1f MB |", fit_mb[1L],
          fit_mb[2L]),
  sprintf("| once: deaths and sample | | about %.0f MB |", once_mb),
  "", "<!-- end -->"
)
page <- readLines("docs/scale.md")
at <- match(c("<!-- written by bench/scale.R -->", "<!-- end -->"), page)
stopifnot(!anyNA(at))
writeLines(c(page[seq_len(at[1L] - 1L)], text,
             page[-seq_len(at[2L])]), "docs/scale.md")
cat(text, sep = "\n")
