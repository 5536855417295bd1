-- What was counted, kept and left out on the way from the tables of the
-- database to people.sql and dispensings.sql.
WITH antibiotic AS (
  SELECT descendant_concept_id AS drug_concept_id
  FROM concept_ancestor
  JOIN concept ON concept_id = ancestor_concept_id
  WHERE concept_name IN ('Amoxicillin', 'Penicillin V')
    AND concept_class_id = 'Ingredient'
),
outcome AS (
  SELECT c.person_id, condition_start_date AS event_date,
    condition_start_date
      BETWEEN observation_period_start_date AND observation_period_end_date
      AS observed
  FROM condition_occurrence c
  LEFT JOIN observation_period USING (person_id)
  WHERE condition_concept_id IN (
    SELECT concept_id FROM concept WHERE concept_name = 'Chronic sinusitis'
  )
),
first_event AS (
  SELECT person_id, min(event_date) AS event_date FROM outcome GROUP BY person_id
),
record AS (
  SELECT
    d.person_id,
    d.drug_concept_id IN (FROM antibiotic) AS is_antibiotic,
    lower(concept_name) IN ('celecoxib', 'diclofenac') AS is_nsaid,
    coalesce(days_supply, 0) > 0 AS has_length,
    drug_exposure_start_date AS day,
    drug_exposure_start_date + CAST(coalesce(days_supply, 0) AS INTEGER)
      AS next_day,
    observation_period_start_date AS first_day,
    observation_period_end_date AS last_day,
    event_date
  FROM drug_exposure d
  JOIN concept ON concept_id = d.drug_concept_id
  LEFT JOIN observation_period USING (person_id)
  LEFT JOIN first_event USING (person_id)
),
used AS (FROM record WHERE is_antibiotic AND has_length)

SELECT 1 AS line, 'people' AS part, 'keep' AS kind,
  'observation periods in the database' AS step,
  count(*) AS records, count(DISTINCT person_id) AS persons
FROM observation_period
UNION ALL
SELECT 2, 'people', 'drop', 'of people who are not in the table of persons',
  count(*), count(DISTINCT person_id)
FROM observation_period
WHERE person_id NOT IN (SELECT person_id FROM person)
UNION ALL
SELECT 3, 'people', 'keep', 'persons with an observation period',
  count(*), count(DISTINCT person_id)
FROM person JOIN observation_period USING (person_id)
UNION ALL
SELECT 4, 'people', 'drop', 'outcome before the observation began',
  count(*), count(DISTINCT person_id)
FROM first_event
JOIN person USING (person_id)
JOIN observation_period USING (person_id)
WHERE event_date < observation_period_start_date
UNION ALL
SELECT 5, 'people', 'keep', 'persons followed', count(*),
  count(DISTINCT person_id)
FROM person
JOIN observation_period USING (person_id)
LEFT JOIN first_event USING (person_id)
WHERE event_date IS NULL OR event_date >= observation_period_start_date

UNION ALL
SELECT 11, 'outcome', 'keep', 'records of chronic sinusitis', count(*),
  count(DISTINCT person_id)
FROM outcome
UNION ALL
SELECT 12, 'outcome', 'drop', 'outside the observation period, or no period',
  count(*), count(DISTINCT person_id)
FROM outcome WHERE observed IS NOT TRUE
UNION ALL
SELECT 13, 'outcome', 'drop', 'later than the person''s first',
  count(*), count(DISTINCT o.person_id)
FROM outcome o JOIN first_event f USING (person_id)
WHERE observed AND o.event_date > f.event_date
UNION ALL
SELECT 14, 'outcome', 'keep', 'first events during follow-up', count(*),
  count(DISTINCT f.person_id)
FROM first_event f
JOIN person USING (person_id)
JOIN observation_period USING (person_id)
WHERE event_date
  BETWEEN observation_period_start_date AND observation_period_end_date

UNION ALL
SELECT 21, 'exposure', 'keep', 'drug records in the database', count(*),
  count(DISTINCT person_id)
FROM record
UNION ALL
SELECT 22, 'exposure', 'drop',
  'celecoxib and diclofenac: of length 0, one a person', count(*),
  count(DISTINCT person_id)
FROM record WHERE is_nsaid
UNION ALL
SELECT 23, 'exposure', 'note', 'of these, after the observation period',
  count(*), count(DISTINCT person_id)
FROM record WHERE is_nsaid AND day > last_day
UNION ALL
SELECT 24, 'exposure', 'drop', 'all other drugs', count(*),
  count(DISTINCT person_id)
FROM record WHERE NOT is_nsaid AND NOT is_antibiotic
UNION ALL
SELECT 25, 'exposure', 'keep', 'amoxicillin or penicillin V', count(*),
  count(DISTINCT person_id)
FROM record WHERE is_antibiotic
UNION ALL
SELECT 26, 'exposure', 'drop', 'days_supply is 0', count(*),
  count(DISTINCT person_id)
FROM record WHERE is_antibiotic AND NOT has_length
UNION ALL
SELECT 27, 'exposure', 'keep', 'dispensings used', count(*),
  count(DISTINCT person_id)
FROM used
UNION ALL
SELECT 28, 'exposure', 'note', 'of these, begun before the observation',
  count(*), count(DISTINCT person_id)
FROM used WHERE day < first_day
UNION ALL
SELECT 29, 'exposure', 'note', 'of these, begun after the observation',
  count(*), count(DISTINCT person_id)
FROM used WHERE day > last_day
UNION ALL
SELECT 30, 'exposure', 'note', 'of these, lasting beyond the observation',
  count(*), count(DISTINCT person_id)
FROM used WHERE day <= last_day AND next_day > last_day + 1
UNION ALL
SELECT 31, 'exposure', 'note', 'of these, begun after the first event',
  count(*), count(DISTINCT person_id)
FROM used WHERE day > event_date
ORDER BY line
