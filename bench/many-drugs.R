# Many drugs in one model: the path and its cross-validation, from records.
#
#   Rscript bench/many-drugs.R [quick]
#
# Sizes are drugs x people; with `quick` the two smaller ones alone. Eight drugs
# have an effect (hazard ratios 3 to 0.5 of a dose taken throughout), the others
# none; numbers of users fall like those of real drugs, from a tenth of the
# people to a few in a thousand. First a small cohort is fitted by both engines.
# What was found, and what was found wrongly, goes into the table.
source("bench/common.R")
need_engine()

window <- 90
weights <- (window - seq_len(window))^2
weights <- weights / sum(weights)

many_drugs <- function(drugs, people, seed = 1, hazard = 1.5e-4) {
  effects <- stats::setNames(numeric(drugs), sprintf("N%03d", seq_len(drugs)))
  at <- round(seq(2, drugs, length.out = 8L))
  effects[at] <- log(c(3, 0.5, 2, 3, 1.5, 2, 3, 2))
  simulate_wce(people, days = 365, weights = weights, cutoff = window,
               log_hr = effects, users = 0.1 * seq_len(drugs)^-0.6,
               doses = 1, hazard = hazard, first_day = c(-90, 364),
               seed = seed)
}

fit_many <- function(sim, ..., engine = "cpu") {
  wce_sparse(Surv(entry, exit, event) ~ sex + age, data = sim$people,
             id = person_id, records = sim$records, cutoff = window,
             engine = engine, ...)
}

few <- many_drugs(8, 400, hazard = 1e-3)
one <- quiet(fit_many(few, lambda = c(2, 1), folds = 0, tol = 1e-9))
other <- quiet(fit_many(few, lambda = c(2, 1), folds = 0,
                        engine = "reference"))
difference <- max(abs(one$beta - other$beta)) / max(abs(one$beta))
stopifnot(difference < 1e-6)

sizes <- list(c(50, 25000), c(200, 25000), c(200, 1e5))
if ("quick" %in% commandArgs(TRUE)) sizes <- sizes[1:2]
rows <- lapply(sizes, function(size) {
  sim <- many_drugs(size[1L], size[2L])
  true <- names(which(sim$truth$log_hr != 0))
  label <- sprintf("%d drugs, %s people, %s events, %s records",
                   size[1L],
                   format(size[2L], big.mark = ",", scientific = FALSE),
                   format(sim$counts$events, big.mark = ","),
                   format(sim$counts$records, big.mark = ","))
  path <- measure_first(function() fit_many(sim, folds = 0))
  both <- measure_first(function() fit_many(sim, folds = 5))
  fit <- both$value
  table <- generics::tidy(fit)
  found <- function(drugs) {
    sprintf("%d of %d true, %d false", sum(true %in% drugs), length(true),
            length(setdiff(drugs, true)))
  }
  of_true <- table[table$drug %in% true, ]
  z <- (table$estimate - sim$truth$log_hr[table$drug]) / table$std.error
  many <- table$events >= 20
  told <- c(
    `at lambda.1se` = found(selected_drugs(fit, "1se")),
    `at lambda.min` = found(selected_drugs(fit, "min")),
    `adjusted p < 0.05` = found(table$drug[which(table$p.adjusted < 0.05)]),
    `95 % intervals cover` = sprintf("%d of %d (20 events or more)",
                                     sum(abs(z[many]) < stats::qnorm(0.975)),
                                     sum(many))
  )
  cat(label, "\n", paste0("  ", names(told), ": ", told, "\n"), sep = "")
  list(
    figure("many-drugs", "path of 20 lambdas, one step", label, "cpu",
           path$seconds, path$memory_gb, difference = difference),
    figure("many-drugs", "the same and 5 folds", label, "cpu", both$seconds,
           both$memory_gb, target = paste(names(told), told, sep = ": ",
                                          collapse = "; "))
  )
})
do.call(write_results, c("many-drugs", unlist(rows, recursive = FALSE)))
