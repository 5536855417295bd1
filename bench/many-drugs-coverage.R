# Intervals and false findings of wce_sparse(), by simulation.
#
#   Rscript bench/many-drugs-coverage.R [replicates]
#
# 4,000 people, 40 drugs of which four have an effect, about 590 events for 122
# coefficients: fewer than five for each, where the package warns. Intervals are
# those of one step; the table counts them by the events among a drug's users.
source("bench/common.R")

window <- 90
weights <- (window - seq_len(window))^2
weights <- weights / sum(weights)
effects <- stats::setNames(c(log(c(3, 2, 1.5, 0.5)), rep(0, 36)),
                           sprintf("D%03d", 1:40))

one_replicate <- function(seed) {
  sim <- simulate_wce(4000, days = 365, weights = weights, cutoff = window,
                      log_hr = effects, users = rep(c(0.15, 0.05, 0.02, 0.1),
                                                    10),
                      doses = 1, hazard = 4e-4, first_day = c(-90, 364),
                      seed = seed)
  fit <- quiet(wce_sparse(
    Surv(entry, exit, event) ~ sex + age, data = sim$people, id = person_id,
    records = sim$records, cutoff = window, nknots = 0, lambda_min = 1,
    engine = "cpu", seed = seed
  ))
  rules <- lapply(c("min", "1se"), function(rule) {
    cbind(generics::tidy(fit, lambda = rule), rule = rule, seed = seed)
  })
  do.call(rbind, rules)
}

# Rows: no effect, by events; each drug with one; findings per fit.
summarise <- function(found) {
  found$truth <- effects[found$drug]
  one <- found[found$rule == "min", ]
  one$covered <- abs(one$estimate - one$truth) < 1.96 * one$std.error
  group <- cut(one$events, c(-1, 5, 20, 50, Inf),
               c("0-5", "6-20", "21-50", "51 or more"))
  what <- ifelse(one$truth == 0, paste("no effect,", group, "events"),
                 paste("effect", one$drug))
  share <- function(x) as.vector(tapply(x, what, mean))
  fits <- length(unique(found$seed))
  false <- function(flag, rows) sum(flag & rows$truth == 0) / fits
  least <- found[found$rule == "1se", ]
  rbind(
    data.frame(what = sort(unique(what)), n = as.vector(table(what)),
               covered = share(one$covered), p_below_0.05 =
                 share(one$p.value < 0.05), selected_min =
                 share(one$selected)),
    data.frame(what = c("false per fit, lambda.min", "false per fit, 1se",
                        "false per fit, adjusted p < 0.1"), n = fits,
               covered = NA, p_below_0.05 = NA, selected_min =
                 c(false(one$selected, one), false(least$selected, least),
                   false(one$p.adjusted < 0.1, one)))
  )
}

if (sys.nframe() == 0L) {
  need_engine()
  times <- as.integer(c(commandArgs(TRUE), 20L)[1L])
  found <- do.call(rbind, lapply(100L + seq_len(times), one_replicate))
  table <- summarise(found)
  print(table, digits = 3, row.names = FALSE)
  utils::write.csv(format(table, digits = 3),
                   file.path("bench", "results", "many-drugs-coverage.csv"),
                   row.names = FALSE, quote = FALSE)
}
