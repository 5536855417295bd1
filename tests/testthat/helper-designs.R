# Random small studies for the tests: integer times, many ties, delayed entry,
# several rows per person, strata, factors, overlapping records, records before
# entry and after exit, records of strangers.

random_study <- function(seed, n = 40L, days = 60L, rows_per_person = 1:3,
                         drugs = 1L) {
  withr::with_seed(seed, {
    n_rows <- sample(rows_per_person, n, replace = TRUE)
    entry <- sample(0:10, n, replace = TRUE)
    length <- sample(15:days, n, replace = TRUE)
    people <- do.call(rbind, lapply(seq_len(n), function(i) {
      cuts <- sort(sample(seq_len(length[i] - 1L), n_rows[i] - 1L))
      data.frame(person_id = i, entry = entry[i] + c(0, cuts),
                 exit = entry[i] + c(cuts, length[i]))
    }))
    last <- !duplicated(people$person_id, fromLast = TRUE)
    people$event <- as.integer(last & runif(nrow(people)) < 0.7)
    people$sex <- factor(sample(c("f", "m"), n, TRUE))[people$person_id]
    people$age <- round(rnorm(n, 50, 10))[people$person_id]
    people$dose_group <- rnorm(nrow(people))
    people$region <- sample(c("north", "south"), n, TRUE)[people$person_id]
    n_records <- 4L * n
    start <- sample(-20:days, n_records, replace = TRUE)
    records <- data.frame(
      person_id = sample(seq_len(n + 3L), n_records, replace = TRUE),
      drug = sample(letters[seq_len(drugs)], n_records, replace = TRUE),
      start = start, stop = start + sample(1:15, n_records, replace = TRUE),
      dose = sample(c(0.1, 0.5, 1, 2), n_records, replace = TRUE)
    )
    list(people = people, records = records)
  })
}

# The classes of a condition without running on.
error_class <- function(expr) {
  class(tryCatch({
    expr
    NULL
  }, error = identity))
}
