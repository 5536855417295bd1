# Cross-validation of a path: folds of people, what they add to the likelihood,
# and the two rules.

cross_validated <- function(fit, given, settings, engine, file, progress) {
  fold <- fold_of(given$people$n_subjects, settings$folds, settings$seed,
                  given$people)
  print <- if (!is.null(file)) {
    fingerprint(list(given, fit$lambda, fold))
  }
  done <- read_folds(file, print)
  bar <- progress_bar(settings$folds, "Folds ", progress, from = length(done))
  on.exit(bar$done())
  while (length(done) < settings$folds) {
    k <- length(done) + 1L
    done[[k]] <- sparse_call(engine, "sparse_fold", c(given, list(
      lambdas = fit$lambda, out = as.numeric(fold == k)
    )))
    if (!is.null(file)) {
      write_whole(list(format = folds_format, fingerprint = print,
                       folds = done), file)
    }
    bar$step(1)
  }
  with_rules(fit, done, fold, given$people)
}

# People with an event and those without are divided apart, so that no fold is
# left without events. Value: the fold of every person.
fold_of <- function(n, folds, seed, people) {
  case <- logical(n)
  case[people$subject[people$event == 1]] <- TRUE
  if (sum(case) < folds) {
    abort_input("There are fewer people with an event than folds.",
                x = sprintf("%d people, %d folds.", sum(case), folds),
                i = "Use fewer `folds`, or 0.", arg = "folds", code = "folds")
  }
  fold <- integer(n)
  with_random_seed(seed %% .Machine$integer.max, for (group in c(TRUE, FALSE)) {
    who <- which(case == group)
    fold[who] <- rep_len(seq_len(folds), length(who))[sample.int(length(who))]
  })
  fold
}

# Gains per event over the covariates alone would need fits of these; a fold's
# own first lambda, where no drug is in, is as good and the same for all.
with_rules <- function(fit, done, fold, people) {
  steps <- min(lengths(lapply(done, `[[`, "inside")))
  keep <- seq_len(steps)
  gain <- vapply(done, function(f) f$whole[keep] - f$inside[keep],
                 numeric(steps))
  gain <- matrix(gain, steps)
  events <- vapply(seq_along(done), function(k) {
    sum(people$event[fold[people$subject] == k])
  }, 0)
  each <- sweep(sweep(gain, 2L, gain[1L, ]), 2L, events, `/`)
  share <- events / sum(events)
  cvl <- drop(each %*% share)
  se <- sqrt(drop((each - cvl)^2 %*% share) / (length(done) - 1))
  fit$cv <- data.frame(lambda = fit$lambda[keep], cvl = cvl, se = se,
                       n_drugs = n_selected(fit)[keep])
  best <- which.max(cvl)
  near <- which(cvl >= cvl[best] - se[best])[1L]
  fit$lambda.min <- fit$lambda[best]
  fit$lambda.1se <- fit$lambda[near]
  if (best == length(fit$lambda) && steps > 1L) {
    warn_user(
      "The cross-validated likelihood is largest at the smallest lambda.",
      i = "Go further: a smaller `lambda_min`.", code = "end_of_path"
    )
  }
  fit
}

folds_format <- "vigitensor folds, 1"

read_folds <- function(file, print) {
  if (is.null(file) || !file.exists(file)) return(list())
  found <- tryCatch(suppressWarnings(readRDS(file)), error = function(e) NULL)
  if (!is.list(found) || !identical(found$format, folds_format) ||
        !identical(found$fingerprint, print)) {
    abort_input("`file` holds folds of other data, or of another model.",
                i = "Name another file, or delete this one.", arg = "file",
                code = "sparse_file")
  }
  found$folds
}

# Drugs with a coefficient, at every lambda.
n_selected <- function(fit) {
  vapply(seq_along(fit$lambda), function(k) {
    sum(colSums(drug_coefficients(fit, k) != 0) > 0)
  }, 0L)
}

# Coefficients at one lambda: columns of the basis x drugs.
drug_coefficients <- function(fit, row) {
  b <- fit$beta[row, fit$n_covariates + seq_len(
    fit$n_columns * nrow(fit$drugs)
  )]
  matrix(b, fit$n_columns, dimnames = list(NULL, fit$drugs$drug))
}
