# The rules of exposure_episodes() written out day by day, for one person and
# one class of drugs: what is on the shelf, what is taken, one day after the
# other. Nothing here comes from the package.

# d: data frame with drug, date, days, dose; stays: data frame with admission,
# discharge (disjoint). Value: list by drug of dose per day 0..horizon-1 (day x
# is (x, x + 1]), and the number of spells.
oracle_history <- function(d, stays, rules, horizon) {
  away <- rep(FALSE, horizon)
  for (k in seq_len(nrow(stays))) {
    inside <- seq_len(horizon) - 1 >= stays$admission[k] &
      seq_len(horizon) - 1 < stays$discharge[k]
    away <- away | inside
  }
  if (rules$in_hospital == "ignore") away[] <- FALSE
  clock_stops <- rules$in_hospital %in% c("pause", "supplied")
  # A dispensing during a stay counts at discharge.
  day <- d$date
  for (i in seq_along(day)) while (away[day[i] + 1]) day[i] <- day[i] + 1
  days_lived <- if (clock_stops) which(!away) - 1 else seq_len(horizon) - 1

  drugs <- sort(unique(d$drug))
  shelf <- stats::setNames(vector("list", length(drugs)), drugs)
  for (g in drugs) shelf[[g]] <- list()
  # Per drug and lived day: the dose, the days of the pack it comes from, and
  # whether another drug closed the treatment on this day.
  dose <- matrix(NA_real_, length(days_lived), length(drugs),
                 dimnames = list(NULL, drugs))
  pack <- dose
  left <- dose
  newest <- dose
  closed <- matrix(FALSE, length(days_lived), length(drugs),
                   dimnames = list(NULL, drugs))
  for (t in seq_along(days_lived)) {
    today <- days_lived[t]
    if (today > max(day) && !any(lengths(shelf))) break
    if (rules$in_hospital == "discard" && away[today + 1]) {
      # Packs that end together: the newest of them is the last.
      for (g in drugs[lengths(shelf) > 0]) {
        pack[t - 1, g] <- newest[t - 1, g]
        shelf[[g]] <- list()
      }
    }
    came <- d[day == today, ]
    for (g in setdiff(drugs, came$drug)) {
      if (nrow(came) && rules$switching) {
        shelf[[g]] <- list()
        closed[t, g] <- TRUE
      }
    }
    for (g in unique(came$drug)) {
      packs <- came[came$drug == g, ]
      packs <- packs[order(packs$days, packs$dose), ]
      shelf[[g]] <- oracle_receive(shelf[[g]], packs, rules)
    }
    for (g in drugs) {
      taken <- oracle_take(shelf[[g]], rules)
      dose[t, g] <- taken$dose
      pack[t, g] <- taken$pack
      newest[t, g] <- taken$newest
      shelf[[g]] <- taken$shelf
      left[t, g] <- sum(vapply(taken$shelf, function(p) p[1], 0))
    }
  }
  result <- lapply(stats::setNames(drugs, drugs), function(g) {
    filled <- oracle_gaps(dose[, g], pack[, g], closed[, g], rules,
                          first_day = match(min(day[d$drug == g]), days_lived))
    out <- rep(0, horizon)
    out[days_lived + 1] <- ifelse(is.na(filled), 0, filled)
    if (rules$in_hospital == "supplied") {
      if (rules$overlap != "add") left[, g] <- NA
      out <- oracle_supplied(out, filled, dose[, g], left[, g], closed[, g],
                             days_lived, away)
    }
    runs <- rle(!is.na(filled))
    list(dose = out, spells = sum(runs$values))
  })
  result
}

# Days after which nothing can be left, whatever the rules.
oracle_horizon <- function(d, stays) {
  max(d$date, stays$discharge, 0) + sum(stays$discharge - stays$admission) +
    ceiling(sum(d$days * d$dose) / min(d$dose)) + nrow(d) + 20
}

# A shelf is a list of packs; a pack is a vector of doses, one per day to come,
# with the days of its dispensing as attribute.
oracle_pack <- function(doses, days) structure(doses, days = days)

oracle_receive <- function(shelf, packs, rules) {
  new <- lapply(seq_len(nrow(packs)), function(i) {
    oracle_pack(rep(packs$dose[i], packs$days[i]), packs$days[i])
  })
  if (rules$overlap == "truncate") return(new)
  if (rules$overlap == "add") return(c(shelf, new))
  left <- rules$max_stock
  kept <- list()
  for (p in shelf) {
    n <- min(left, length(p))
    if (n > 0) kept <- c(kept, list(oracle_pack(p[seq_len(n)],
                                                attr(p, "days"))))
    left <- left - n
  }
  if (rules$stock_dose == "new" && length(kept)) {
    amount <- sum(unlist(kept))
    extra <- floor(amount / packs$dose[1] + 0.5)
    new[[1]] <- oracle_pack(rep(packs$dose[1], packs$days[1] + extra),
                            packs$days[1])
    kept <- list()
  }
  c(kept, new)
}

# One day: from the first pack, or from all at once. `pack` and the last of the
# doses belong to the pack that lasts longest (the newest of those).
oracle_take <- function(shelf, rules) {
  if (!length(shelf)) {
    return(list(dose = NA, pack = NA, newest = NA, shelf = shelf))
  }
  use <- if (rules$overlap == "add") seq_along(shelf) else 1L
  dose <- sum(vapply(shelf[use], function(p) p[1], 0))
  lasts <- lengths(shelf[use])
  last <- max(which(lasts == max(lasts)))
  code <- function(p) attr(p, "days") + p[1] / 1000
  pack <- code(shelf[[use[last]]])
  newest <- code(shelf[[use[length(use)]]])
  shelf[use] <- lapply(shelf[use], function(p) {
    oracle_pack(p[-1], attr(p, "days"))
  })
  shelf <- shelf[lengths(shelf) > 0]
  list(dose = dose, pack = as.vector(pack), newest = as.vector(newest),
       shelf = shelf)
}

# Fills gaps: grace between dispensings, tails before gaps that remain.
oracle_gaps <- function(dose, pack, closed, rules, first_day) {
  n <- length(dose)
  filled <- dose
  t <- first_day
  while (t <= n) {
    if (!is.na(dose[t])) {
      t <- t + 1
      next
    }
    from <- t
    while (t <= n && is.na(dose[t])) t <- t + 1
    gap <- from:(t - 1)
    last <- from - 1
    if (last < 1 || is.na(dose[last])) next
    days <- floor(pack[last])
    own <- round((pack[last] - days) * 1000, 6)
    allowed <- rules$grace + floor(rules$grace_share * days)
    cut <- if (any(closed[gap])) min(gap[closed[gap]]) else Inf
    if (t <= n && length(gap) <= allowed && is.infinite(cut)) {
      filled[gap] <- own
    } else {
      tail <- gap[seq_len(min(rules$tail, length(gap)))]
      filled[tail[tail < cut]] <- own
    }
  }
  filled
}

# A stay is exposed when the supply goes on behind it: in the middle of a pack
# or, where packs follow one another, from one pack to the next. left: where
# packs add, the dose of those that are not used up at the end of a day.
oracle_supplied <- function(out, filled, dose, left, closed, days_lived, away) {
  for (h in which(away)) {
    before <- sum(days_lived < h - 1)
    after <- before + 1
    if (before < 1 || after > length(filled)) next
    if (is.na(filled[before]) || is.na(filled[after])) next
    if (is.na(left[before])) {
      out[h] <- filled[before]
    } else if (left[before] > 0 && !closed[after]) {
      out[h] <- left[before]
    } else if (is.na(dose[after])) {
      out[h] <- filled[after]
    }
  }
  out
}

# Daily doses of records.
daily_doses <- function(records, horizon) {
  out <- rep(0, horizon)
  for (i in seq_len(nrow(records))) {
    days <- seq(records$start[i], records$stop[i] - 1) + 1
    out[days] <- out[days] + records$dose[i]
  }
  out
}

random_histories <- function(n, seed) {
  set.seed(seed)
  size <- 1 + stats::rpois(n, 2.5)
  person <- rep(seq_len(n), size)
  m <- length(person)
  drug <- sample(c("A01A", "A01B", "A02A"), m, TRUE, c(0.6, 0.25, 0.15))
  d <- data.frame(person_id = person, drug = drug,
                  date = sample(0:35, m, TRUE),
                  days = sample(c(1, 3, 4, 7, 10), m, TRUE),
                  dose = sample(c(0.5, 1, 2), m, TRUE))
  stay_of <- sample(n, ceiling(n / 2))
  admission <- sample(0:30, length(stay_of), TRUE)
  stays <- data.frame(person_id = stay_of, admission = admission,
                      discharge = admission + sample(0:8, length(stay_of),
                                                     TRUE))
  again <- stays[seq_len(ceiling(nrow(stays) / 3)), ]
  again$admission <- again$discharge + sample(c(0, 3, 9), nrow(again), TRUE)
  again$discharge <- again$admission + 4
  list(dispensings = d, stays = rbind(stays, again))
}

random_rules <- function() {
  list(
    overlap = sample(c("carry_over", "add", "truncate"), 1, TRUE, c(3, 1, 1)),
    max_stock = sample(c(Inf, Inf, 0, 4, 9), 1),
    stock_dose = sample(c("own", "own", "new"), 1),
    grace = sample(c(0, 0, 2, 5, 12), 1),
    grace_share = sample(c(0, 0, 0.25, 1), 1), tail = sample(c(0, 0, 3), 1),
    in_hospital = sample(c("ignore", "pause", "supplied", "discard"), 1),
    switching = sample(c(FALSE, TRUE), 1), join = sample(c(FALSE, TRUE), 1)
  )
}
