-- What single axes of MatMul on the GPU are worth: one is varied, all else stays equal.
local common = require "lib.report"
local words = require "report.matmul_gpu.words"

-- label: the trials'; axis: what is varied at one shape, or, across, at several; counted: a setting is its own place in
-- the figure.
local ABLATIONS = {
  { label = "ablation_stages", axis = "stages", what = "stages in flight (TMA)", counted = true },
  { label = "ablation_stages_portable", axis = "stages", what = "stages in flight (portable)", counted = true },
  { label = "ablation_swizzle", axis = "swizzle_bytes", what = "bytes that the swizzle spreads (portable)" },
  { label = "ablation_group", axis = "group", what = "rows of tiles kept together" },
  { label = "ablation_tile", axis = "tile_n", what = "columns of the tile" },
  { label = "ablation_round", axis = "last_round", what = "last rounds of tiles", across = true },
}

-- An ablation's trials; those across shapes, setting by setting.
local function trials_of(report, a)
  local list, settings, seen = common.trials(report, a.label), {}, {}
  if not a.across then return list end
  for _, record in ipairs(list) do
    local setting = record.config[a.axis]
    if not seen[setting] then seen[setting] = {}; settings[#settings + 1] = setting end
    table.insert(seen[setting], record)
  end
  list = {}
  for _, setting in ipairs(settings) do table.move(seen[setting], 1, #seen[setting], #list + 1, list) end
  return list
end

-- The squares of the comparison with both kinds of launches, as points alone: the table of the shapes has the numbers.
local function add_launches(report, points, kept)
  for _, series in ipairs { "plain", "overlapped" } do
    local squares = common.trials(report, series == "plain" and "shape_plain" or "shape", function(r)
      return r.ratio and r.problem.m == r.problem.n and r.problem.n == r.problem.k
    end)
    table.sort(squares, function(a, b) return a.problem.m < b.problem.m end)
    for at, record in ipairs(squares) do
      local s = words.speed(record)
      points[#points + 1] = { "launch_" .. series, at, ("%d"):format(record.problem.m), s.ratio, s.q1, s.q3 }
      kept[#kept + 1] = record
    end
  end
end

-- The most over the least of our own speeds, as a value: the peer's, which share the chip's warmth and power with ours,
-- rise beside a slow kernel and would exaggerate it.
local function report_worth(report, key, list)
  local slowest, fastest
  for _, record in ipairs(list) do
    if not slowest or record.tflops < slowest.tflops then slowest = record end
    if not fastest or record.tflops > fastest.tflops then fastest = record end
  end
  if not slowest then return end
  report:value(key .. "_worth", fastest.tflops / slowest.tflops,
    { refs = { report:ref(fastest), report:ref(slowest) }, format = "%.2f" })
end

-- The stages' worth apart: while a multiprocessor holds several blocks, and where a block is alone.
local function report_company(report, key, list)
  local company, alone = {}, {}
  for _, record in ipairs(list) do
    local side = (record.occupancy or {}).blocks_per_sm == 1 and alone or company
    side[#side + 1] = record
  end
  report_worth(report, key .. "_company", company)
  report_worth(report, key .. "_alone", alone)
end

-- Last rounds shared beside whole ones, all else equal: how often the shared ones were faster. And at how many shapes
-- of the comparison the model shares them.
local function report_rounds(report)
  local whole, refs, faster = {}, {}, 0
  for _, record in ipairs(common.trials(report, "ablation_round")) do
    local shape = words.shape(record.problem)
    if record.config.last_round == "whole" then
      whole[shape] = record
    elseif whole[shape] then
      refs[#refs + 1], refs[#refs + 2] = report:ref(whole[shape]), report:ref(record)
      if record.tflops > whole[shape].tflops then faster = faster + 1 end
    end
  end
  if #refs > 0 then report:value("rounds_shared_faster", faster, { refs = refs, format = "%d" }) end
  local picked, names = {}, {}
  for _, record in ipairs(common.trials(report, "shape")) do
    if record.config.last_round == "shared" then
      picked[#picked + 1], names[#names + 1] = report:ref(record), words.shape(record.problem)
    end
  end
  if #picked > 0 then
    report:value("rounds_picked", #picked, { refs = picked, format = "%d" })
    report:value("which_rounds_picked", #picked, { refs = picked, text = words.list(names) })
  end
end

-- The rows that an ablation adds to the table and to the figure, and its values.
local function report_one(report, a, rows, points, kept)
  local list, place = trials_of(report, a), {}
  for _, record in ipairs(list) do
    local s, ref, p, setting = words.speed(record), report:ref(record), record.problem, record.config[a.axis]
    local text = type(setting) == "number" and ("%d"):format(setting) or setting
    local series = a.label:gsub("^ablation_", "") .. (a.across and "_" .. text or "")
    rows[#rows + 1] = {
      a.what, words.shape(p), words.config(record.config),
      type(setting) == "number" and { value = setting, ref = ref } or text,
      { value = record.tflops, ref = ref }, s.ratio and { value = s.ratio, ref = ref } or "no peer",
    }
    local key = a.label .. "_" .. text
    if a.across then key = ("%s_%dx%dx%d"):format(key, p.m, p.n, p.k) end
    report:value(key, record.tflops, { refs = { ref }, format = "%.0f", unit = "TFLOP/s" })
    if s.ratio then
      place[series] = a.counted and setting or (place[series] or 0) + 1
      points[#points + 1] = { series, place[series], a.across and words.spaced(p) or text, s.ratio, s.q1, s.q3 }
      kept[#kept + 1] = record
    end
  end
  if not a.across then report_worth(report, a.label, list) end
  if a.label == "ablation_stages" then report_company(report, a.label, list) end
end

return function(report)
  local rows, points, kept, refs = {}, {}, {}, {}
  for _, a in ipairs(ABLATIONS) do report_one(report, a, rows, points, kept) end
  report_rounds(report)
  if #rows == 0 then return end
  report:table {
    name = "matmul_gpu_ablations",
    caption = "What single choices are worth, one varied at a time, all else equal",
    columns = {
      { header = "varied", align = "left" }, { header = "m × n × k", align = "left" },
      { header = "configuration", align = "left" },
      { header = "setting", align = "right", format = "%d" }, { header = "TFLOP/s", align = "right", format = "%.0f" },
      { header = "ratio", align = "right", format = "%.3f" },
    },
    rows = rows,
  }
  if #points == 0 then return end
  local shape = words.spaced(kept[1].problem)
  add_launches(report, points, kept)
  for i, record in ipairs(kept) do refs[i] = report:ref(record) end
  local vars = words.figure(report, kept)
  vars.shape = shape
  report:figure {
    name = "matmul_gpu_ablations",
    columns = {
      { name = "varied", type = "text" }, { name = "place", type = "number" }, { name = "setting", type = "text" },
      { name = "ratio", type = "number" }, { name = "q1", type = "number" }, { name = "q3", type = "number" },
    },
    rows = points, series = "varied", x = "place", positive = { "ratio", "q1", "q3" }, refs = refs, vars = vars,
  }
end
