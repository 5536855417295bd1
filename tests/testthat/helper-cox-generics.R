# Every generic and function that a statistician calls on a coxph object. Each
# takes a fit; those of the second list need covariates.

cox_generics <- function(newdata) {
  with_covariates <- list(
    zph = function(f) survival::cox.zph(f),
    zph_rank = function(f) survival::cox.zph(f, "rank", terms = FALSE),
    lp_new = function(f) predict(f, newdata),
    risk_new = function(f) predict(f, newdata, type = "risk", se.fit = TRUE),
    terms_new = function(f) predict(f, newdata, type = "terms"),
    expected_new = function(f) predict(f, newdata, type = "expected"),
    survival_new = function(f) {
      predict(f, newdata, type = "survival", se.fit = TRUE)
    },
    reference = function(f) predict(f, type = "lp", reference = "sample"),
    terms_of = function(f) predict(f, type = "terms", se.fit = TRUE),
    curve_new = function(f) survival::survfit(f, newdata),
    score = function(f) residuals(f, "score"),
    schoenfeld = function(f) residuals(f, "schoenfeld"),
    scaled = function(f) residuals(f, "scaledsch"),
    dfbeta = function(f) residuals(f, "dfbeta"),
    dfbetas = function(f) residuals(f, "dfbetas"),
    partial = function(f) residuals(f, "partial"),
    vcov = function(f) vcov(f), confint = function(f) confint(f),
    summary = function(f) summary(f)$coefficients,
    summary_all = function(f) {
      s <- unclass(summary(f))
      s[setdiff(names(s), "call")]
    },
    tidy = function(f) broom::tidy(f, conf.int = TRUE, exponentiate = TRUE),
    estfun = function(f) sandwich::estfun(f),
    bread = function(f) sandwich::bread(f),
    sandwich = function(f) sandwich::sandwich(f),
    drop1 = function(f) drop1(f), step = function(f) step(f, trace = 0)$loglik
  )
  list(with_covariates = with_covariates, always = list(
    martingale = function(f) residuals(f),
    deviance = function(f) residuals(f, "deviance"),
    lp = function(f) predict(f), risk = function(f) predict(f, type = "risk"),
    expected = function(f) predict(f, type = "expected"),
    survival = function(f) predict(f, type = "survival"),
    fitted = function(f) fitted(f), curve = function(f) survival::survfit(f),
    curve_kp = function(f) survival::survfit(f, stype = 1, ctype = 1),
    basehaz = function(f) survival::basehaz(f),
    basehaz0 = function(f) survival::basehaz(f, centered = FALSE),
    detail = function(f) survival::coxph.detail(f),
    concordance = function(f) survival::concordance(f),
    matrix = function(f) model.matrix(f), frame = function(f) model.frame(f),
    terms = function(f) format(terms(f)), formula = function(f) {
      format(formula(f))
    },
    coef = function(f) coef(f), loglik = function(f) logLik(f),
    aic = function(f) AIC(f), bic = function(f) BIC(f),
    extract = function(f) extractAIC(f), nobs = function(f) nobs(f),
    weights = function(f) weights(f),
    glance = function(f) as.data.frame(broom::glance(f)),
    anova = function(f) anova(f), print = function(f) {
      lines <- utils::capture.output(survival:::print.coxph(f))
      lines[-seq_len(which(lines == "")[1L])]
    },
    update = function(f) update(f, . ~ .)$loglik
  ))
}

# What a function gives, its message when it stops: both must be the same.
outcome <- function(f, fit) {
  value <- tryCatch(suppressWarnings(f(fit)), error = function(e) {
    paste("error:", conditionMessage(e))
  })
  if (is.list(value)) value$call <- NULL
  value
}

expect_same_outcomes <- function(fit, peer, newdata) {
  generics <- cox_generics(newdata)
  called <- c(generics$always,
              if (!is.null(coef(peer))) generics$with_covariates)
  for (name in names(called)) {
    ours <- outcome(called[[name]], fit)
    theirs <- outcome(called[[name]], peer)
    expect_equal(ours, theirs, tolerance = 1e-6, ignore_formula_env = TRUE,
                 info = name)
  }
}
