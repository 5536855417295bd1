# Predictions, residuals and checks against survival on rows that are written
# out: one per person and event time, with the sum over lags of dose x basis.

# people: with person_id, entry, exit; bases: list by drug of the lags x J
# matrix. Value: people cut at `times`, with the matrix `feature`.
cut_people <- function(people, records, bases, times) {
  people$row <- seq_len(nrow(people))
  if (is.null(people$event)) people$event <- 0
  pieces <- survival::survSplit(Surv(entry, exit, event) ~ ., people,
                                cut = times)
  pieces <- pieces[order(pieces$row, pieces$entry), ]
  features <- lapply(names(bases), function(drug) {
    table <- bases[[drug]]
    mine <- records[records$drug == drug, ]
    t(vapply(seq_len(nrow(pieces)), function(i) {
      own <- mine[mine$person_id == pieces$person_id[i], ]
      day <- pieces$exit[i] - seq_len(nrow(table))
      dose <- vapply(day, function(d) {
        sum(own$dose[own$start <= d & own$stop > d])
      }, 0)
      drop(dose %*% table)
    }, numeric(ncol(table))))
  })
  pieces$feature <- do.call(cbind, features)
  pieces
}

# A study with two drugs, strata, weights and an offset, its wce() fit by each
# engine, and coxph() of the rows written out.
results_case <- function(seed, ties = "efron", engine = "reference", n = 40L,
                         weighted = TRUE, robust = FALSE) {
  study <- random_study(seed, n = n, drugs = 2L)
  people <- study$people
  people$w <- if (weighted) 1 + people$person_id %% 3 else 1
  people$known <- people$dose_group / 4
  study$people <- people
  fit <- suppressWarnings(
    wce(Surv(entry, exit, event) ~ sex + age + strata(region) + offset(known) +
          exposure("a") + exposure("b", cutoff = 12, nknots = 0),
        data = study$people, id = person_id, records = study$records,
        cutoff = 20, nknots = 1, weights = w, ties = ties, engine = engine,
        robust = robust),
    classes = "vigitensor_warning"
  )
  bases <- list(a = wce_basis(20, wce_knots(20, 1)),
                b = wce_basis(12, numeric()))
  times <- sort(unique(people$exit[people$event == 1]))
  pieces <- cut_people(people, study$records, bases, times)
  peer <- survival::coxph(
    Surv(entry, exit, event) ~ sex + age + feature + strata(region) +
      offset(known), pieces, weights = w, ties = ties, control = at_optimum,
    x = TRUE, robust = robust, id = if (robust) person_id,
    init = unname(coef(fit))
  )
  list(study = study, fit = fit, peer = peer, pieces = pieces, bases = bases,
       times = times)
}

# Ties and engines worth a pass each.
ways_here <- function() {
  engines <- engines_here()
  c(lapply(engines, function(engine) c("efron", engine)),
    list(c("breslow", engines[length(engines)])))
}
