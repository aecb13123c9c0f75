-- All tiles and all numbers of stages of FMHA on the GPU: what becomes of three rules of the source.
local common = require "lib.report"
local words = require "report.fmha_gpu.words"

local VARIANTS = { "mma_sync", "specialised", "packed" }

-- The shapes that were tried, in their order: "128_causal_2048", and a line about each.
local function shape_of(p)
  return ("%d heads of %d, length %d, %s"):format(p.heads, p.head_dim, p.q_len, p.causal and "causal" or "no mask")
end

local function grouped(report, label)
  local groups, order = {}, {}
  for _, record in ipairs(common.trials(report, label)) do
    local key = words.key(record.problem)
    if not groups[key] then
      groups[key] = { key = key, problem = record.problem }
      order[#order + 1] = groups[key]
    end
    table.insert(groups[key], words.speed(record))
  end
  return order
end

-- The fastest of a group for which where(config) holds.
local function best(group, where)
  local top
  for _, s in ipairs(group) do
    if (not where or where(s.record.config)) and (not top or s.tflops > top.tflops) then top = s end
  end
  return top
end

local function quotient(report, name, above, below)
  if not (above and below) then return end
  report:value(name, above.tflops / below.tflops,
    { refs = { report:ref(above.record), report:ref(below.record) }, format = "%.2f" })
  return above.tflops / below.tflops
end

-- --- tiles ---

local function report_rules(report, group, rows)
  local top = best(group)
  local square = best(group, function(c) return c.tile_m == 64 and c.tile_n == 64 end)
  local key = group.key
  local function add(what, s, of)
    if s and of then
      rows[#rows + 1] = {
        shape_of(group.problem), what, (s.record.config.variant:gsub("_", " ")), words.config(s.record.config),
        { value = s.tflops, ref = report:ref(s.record) },
        { value = s.tflops / of.tflops, ref = report:ref(s.record), refs = { report:ref(s.record), report:ref(of.record) } },
      }
    end
  end
  add("the best of all", top, top)
  add("the best of 64 × 64", square, top)
  for _, tile_m in ipairs { 64, 128, 192 } do
    local rows_of = best(group, function(c) return c.tile_m == tile_m end)
    add(("the best of %d rows"):format(tile_m), rows_of, top)
  end
  local function of_rows(tile_m, variant)
    return best(group, function(c) return c.tile_m == tile_m and (not variant or c.variant == variant) end)
  end
  quotient(report, ("tile_64_64_share_%s"):format(key), square, top)
  for _, variant in ipairs(VARIANTS) do
    local function its(m, n)
      return best(group, function(c)
        return c.variant == variant and (not m or c.tile_m == m and c.tile_n == n)
      end)
    end
    quotient(report, ("tile_64_64_share_%s_%s"):format(variant, key), its(64, 64), its())
  end
  quotient(report, ("rows_128_over_64_%s"):format(key), of_rows(128), of_rows(64))
  for _, variant in ipairs(VARIANTS) do
    quotient(report, ("rows_128_over_64_%s_%s"):format(variant, key), of_rows(128, variant), of_rows(64, variant))
  end
  report:value(("best_rows_%s"):format(key), top.record.config.tile_m, { refs = { report:ref(top.record) }, format = "%d" })
  report:value(("best_keys_%s"):format(key), top.record.config.tile_n, { refs = { report:ref(top.record) }, format = "%d" })
end

-- A panel for each variant and shape: x is the place of tile_n among those tried, y that of tile_m.
local function draw_tiles(report, groups)
  local widths, seen, rows, refs, records, shapes = {}, {}, {}, {}, {}, {}
  for _, group in ipairs(groups) do
    for _, s in ipairs(group) do
      local n = s.record.config.tile_n
      if not seen[n] then seen[n] = true; widths[#widths + 1] = n end
    end
  end
  table.sort(widths)
  local place = {}
  for at, n in ipairs(widths) do place[n] = at end
  for at, group in ipairs(groups) do
    local top = best(group)
    shapes[at] = shape_of(group.problem)
    for _, variant in ipairs(VARIANTS) do
      for _, s in ipairs(group) do
        local c = s.record.config
        if c.variant == variant then
          rows[#rows + 1] = {
            ("%s_%d"):format(variant, at), place[c.tile_n], c.tile_m // 64, ("%d"):format(c.tile_n),
            s.tflops / top.tflops, ("%.0f"):format(s.tflops),
          }
          refs[#refs + 1], records[#records + 1] = report:ref(s.record), s.record
        end
      end
    end
  end
  if #rows == 0 then return end
  local vars = words.figure(report, records)
  vars.shape_1, vars.shape_2 = shapes[1], shapes[2] or ""
  report:figure {
    name = "fmha_gpu_tiles",
    columns = {
      { name = "panel", type = "text" }, { name = "place", type = "number" }, { name = "rows", type = "number" },
      { name = "keys", type = "text" }, { name = "share", type = "number" }, { name = "tflops", type = "text" },
    },
    rows = rows, series = "panel", positive = { "share" }, refs = refs, vars = vars,
  }
end

local function report_tiles(report)
  local groups, rows, refs, refused = grouped(report, "tiles"), {}, {}, 0
  if #groups == 0 then return end
  for _, group in ipairs(groups) do report_rules(report, group, rows) end
  for _, record in ipairs(report.records) do
    if record.kind == "evaluate" and record.label == "tiles" then
      refs[#refs + 1] = report:ref(record)
      if record.status == "refused" then refused = refused + 1 end
    end
  end
  report:value("tiles_tried", #refs - refused, { refs = refs, format = "%d" })
  report:value("tiles_refused", refused, { refs = refs, format = "%d" })
  report:table {
    name = "fmha_gpu_tiles",
    caption = "Tiles on three steps of the ladder, from a list made before: the fastest of some",
    columns = {
      { header = "shape", align = "left" }, { header = "what", align = "left" }, { header = "step", align = "left" },
      { header = "tile and stages", align = "left" }, { header = "TFLOP/s", align = "right", format = "%.0f" },
      { header = "of the best", align = "right", format = "%.2f" },
    },
    rows = rows,
  }
  draw_tiles(report, groups)
end

-- --- stages ---

local function with_stages(group, k, v)
  return best(group, function(c) return c.k_stages == k and c.v_stages == v end)
end

local function report_stages(report)
  local groups, rows, points, refs, records, shapes = grouped(report, "stages"), {}, {}, {}, {}, {}
  local least_best, least_two
  for at, group in ipairs(groups) do
    local top = best(group)
    shapes[at] = shape_of(group.problem)
    for k = 1, 5 do
      local row = { shape_of(group.problem), ("%d"):format(k) }
      for v = 1, 5 do
        local s = with_stages(group, k, v)
        row[#row + 1] = s and { value = s.tflops, ref = report:ref(s.record) } or "refused"
        if s then
          points[#points + 1] = { ("k%d_%d"):format(k, at), v, s.tflops, s.slow, s.fast }
          refs[#refs + 1], records[#records + 1] = report:ref(s.record), s.record
        end
      end
      rows[#rows + 1] = row
    end
    local hint, two, one = with_stages(group, 2, 5), with_stages(group, 2, 2), with_stages(group, 1, 1)
    local of_best = quotient(report, "stages_2_5_share_" .. group.key, hint, top)
    local of_two = quotient(report, "stages_2_5_over_2_2_" .. group.key, hint, two)
    quotient(report, "stages_2_2_over_1_1_" .. group.key, two, one)
    if of_best and (not least_best or of_best < least_best.value) then least_best = { value = of_best, from = { hint, top } } end
    if of_two and (not least_two or of_two < least_two.value) then least_two = { value = of_two, from = { hint, two } } end
  end
  if #points == 0 then return end
  local function value(name, least)
    if not least then return end
    report:value(name, least.value, {
      refs = { report:ref(least.from[1].record), report:ref(least.from[2].record) }, format = "%.3f",
    })
  end
  value("stages_2_5_share", least_best)
  value("stages_2_5_over_2_2", least_two)
  local columns = { { header = "shape", align = "left" }, { header = "stages of K", align = "right" } }
  for v = 1, 5 do columns[#columns + 1] = { header = ("%d of V"):format(v), align = "right", format = "%.0f" } end
  report:table {
    name = "fmha_gpu_stages", caption = "Stages of K and stages of V, in TFLOP/s, all else equal", columns = columns, rows = rows,
  }
  local vars = words.figure(report, records)
  vars.shape_1, vars.shape_2 = shapes[1], shapes[2] or ""
  vars.tile = ("tile of %d × %d"):format(records[1].config.tile_m, records[1].config.tile_n)
  report:figure {
    name = "fmha_gpu_stages",
    columns = common.columns("series", "stages", "tflops", "q1", "q3"),
    rows = points, series = "series", x = "stages", positive = { "tflops", "q1", "q3" }, refs = refs, vars = vars,
  }
end

return function(report)
  report_tiles(report)
  report_stages(report)
end
