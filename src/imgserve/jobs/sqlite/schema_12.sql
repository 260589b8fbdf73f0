-- From version 11 to 12: resize says if_small in place of enlarge, and an SVG's dpi belongs to loading it.
UPDATE output SET spec = CAST(json_remove(json_set(CAST(spec AS TEXT), '$.recipe.operations[0].if_small',
    iif(json_extract(CAST(spec AS TEXT), '$.recipe.operations[0].enlarge'), 'enlarge', 'refuse')),
    '$.recipe.operations[0].enlarge') AS BLOB)
WHERE iif(json_valid(CAST(spec AS TEXT)), json_type(CAST(spec AS TEXT), '$.recipe.operations[0].enlarge'), '') > '';
UPDATE output SET spec = CAST(json_remove(json_set(CAST(spec AS TEXT), '$.recipe.load',
    json_patch(coalesce(json_extract(CAST(spec AS TEXT), '$.recipe.load'), '{}'),
    json_object('dpi', json_extract(CAST(spec AS TEXT), '$.recipe.operations[0].dpi')))),
    '$.recipe.operations[0].dpi') AS BLOB)
WHERE iif(json_valid(CAST(spec AS TEXT)), json_type(CAST(spec AS TEXT), '$.recipe.operations[0].dpi'), '') > '';
