# Records against the same rules written out day by day (helper-claims.R):
# daily doses and numbers of spells are equal, exactly, as all doses are sums of
# powers of two.

compare_with_oracle <- function(n_histories, per_rule, seed) {
  wrong <- 0
  for (block in seq_len(n_histories / per_rule)) {
    set.seed(seed + block)
    rules <- random_rules()
    made <- random_histories(per_rule, seed + block)
    d <- made$dispensings
    stays <- made$stays
    classes <- if (rules$switching) 3
    records <- exposure_episodes(
      data.frame(person_id = d$person_id, drug = d$drug, date = d$date,
                 days_supply = d$days, daily_dose = d$dose)[sample(nrow(d)), ],
      dose = "daily_dose", overlap = rules$overlap,
      max_stock = rules$max_stock, stock_dose = rules$stock_dose,
      grace = rules$grace, grace_share = rules$grace_share, tail = rules$tail,
      stays = stays[sample(nrow(stays)), ], in_hospital = rules$in_hospital,
      switch_class = classes, join = rules$join
    )
    records <- as.data.frame(records)
    for (p in unique(d$person_id)) {
      mine <- d[d$person_id == p, ]
      class <- if (rules$switching) substr(mine$drug, 1, 3) else mine$drug
      away <- stays[stays$person_id == p, ]
      horizon <- oracle_horizon(mine, away)
      for (one in unique(class)) {
        expected <- oracle_history(mine[class == one, ], away, rules, horizon)
        for (g in names(expected)) {
          r <- records[records$person_id == p & records$drug == g, ]
          same <- identical(daily_doses(r, horizon), expected[[g]]$dose) &&
            max(r$spell, 0) == expected[[g]]$spells
          wrong <- wrong + !same
        }
      }
    }
  }
  wrong
}

test_that("records are those of the rules written out day by day", {
  n <- if (in_full()) 10000 else 1000
  differ <- compare_with_oracle(n, per_rule = 25, seed = 5)
  folder <- Sys.getenv("VIGITENSOR_RECORD")
  if (nzchar(folder)) {
    utils::write.csv(data.frame(histories = n, rules = n / 25, differ = differ),
                     file.path(folder, "random-histories.csv"),
                     row.names = FALSE)
  }
  expect_identical(differ, 0)
})
