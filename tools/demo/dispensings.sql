-- One row per dispensing of amoxicillin or penicillin V, on the clock of
-- people.sql: a dispensing on day D for n days is (D, D + n], one unit of dose a
-- day. The drugs are found by their ingredient, so that combinations count.
SELECT
  person_id,
  'antibiotic' AS drug,
  date_diff('day', observation_period_start_date,
            drug_exposure_start_date) AS start,
  date_diff('day', observation_period_start_date,
            drug_exposure_start_date) + days_supply AS stop,
  1 AS dose
FROM drug_exposure
JOIN observation_period USING (person_id)
WHERE days_supply > 0
  AND drug_concept_id IN (
    SELECT descendant_concept_id
    FROM concept_ancestor
    JOIN concept ON concept_id = ancestor_concept_id
    WHERE concept_name IN ('Amoxicillin', 'Penicillin V')
      AND concept_class_id = 'Ingredient'
  )
ORDER BY person_id, start
