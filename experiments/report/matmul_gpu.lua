-- What the trace of MatMul on the GPU says: the ladder, the shapes beside cuBLAS, training's products, the ablations,
-- the search against trying everything, and named values.
local common = require "lib.report"
local climb = require "lib.ladder"
local report_ablations = require "report.matmul_gpu.ablations"
local report_predictions = require "report.predictions"
local report_search = require "report.matmul_gpu.search"
local report_shapes = require "report.matmul_gpu.shapes"
local words = require "report.matmul_gpu.words"

local RUNGS = {
  "naive", "coalesced", "shared_tile", "register_tile", "mma_sync", "tma", "specialised", "two_consumers", "persistent",
  "cluster", "async_store", "best",
}
local IDEAS = {
  naive = "a thread for each element of C",
  coalesced = "neighbouring threads, neighbouring addresses",
  shared_tile = "a block loads each element once",
  register_tile = "a thread keeps a tile of C",
  mma_sync = "matrix units, copies that run ahead, swizzle",
  tma = "the copy engine and warpgroup products",
  specialised = "one warpgroup fetches, one multiplies",
  two_consumers = "a larger tile, two multiply",
  persistent = "blocks stay; tiles in the cache's order",
  cluster = "two blocks fetch a shared tile once",
  async_store = "C leaves while the next tile is computed",
  best = "staggered, shared out, overlapped; tiles by shape",
}
-- What was predicted of each rung beside the one below it: the hypotheses of the system.
local PREDICTED = {
  coalescing_uses_whole_sectors = "coalesced",
  shared_tile_spares_the_caches = "shared_tile",
  register_tile_feeds_the_vector_units = "register_tile",
  matrix_units_multiply_the_rate = "mma_sync",
  tma_alone_gains_little = "tma",
  specialisation_hides_the_copies = "specialised",
  two_consumers_halve_the_traffic = "two_consumers",
  persistence_hides_starts = "persistent",
  clusters_save_bandwidth = "cluster",
  async_store_frees_the_consumers = "async_store",
  best_schedule_adds_the_rest = "best",
}

-- What the machine can do at most.
local function report_machine(report)
  local hw, refs = report.hw, { report:ref(report.records[1]) }
  local function value(key, number, format, unit)
    if number then report:value(key, number, { refs = refs, format = format, unit = unit }) end
  end
  local tflops, bandwidth = hw.datasheet_bf16_tflops, hw.datasheet_bandwidth_gb_s
  value("peak_tflops", tflops, "%.0f", "TFLOP/s")
  value("peak_bandwidth", bandwidth, "%.0f", "GB/s")
  value("peak_clock", hw.clock_mhz, "%.0f", "MHz")
  value("balance", tflops and bandwidth and 1e3 * tflops / bandwidth, "%.0f")
  value("sms", hw.sms, "%d")
end

-- ladder[rung][size] = speed; the sizes in order.
local function read_ladder(report)
  local ladder, seen, sizes = {}, {}, {}
  for _, rung in ipairs(RUNGS) do ladder[rung] = {} end
  for _, record in ipairs(common.trials(report, "ladder")) do
    local size = record.problem.m
    ladder[record.config.variant][size] = words.speed(record)
    if not seen[size] then seen[size] = true; sizes[#sizes + 1] = size end
  end
  table.sort(sizes)
  return ladder, sizes
end

local function tabulate_ladder(report, ladder, sizes)
  local columns = { { header = "step", align = "left" }, { header = "idea", align = "left" } }
  for _, size in ipairs(sizes) do
    columns[#columns + 1] = { header = ("%d"):format(size), align = "right", format = "%.0f" }
  end
  local rows = {}
  for _, rung in ipairs(RUNGS) do
    local row = { (rung:gsub("_", " ")), IDEAS[rung] }
    for _, size in ipairs(sizes) do
      local s = ladder[rung][size]
      row[#row + 1] = "not run"
      if s then
        local tflops, ref = s.record.tflops, report:ref(s.record)
        local format = tflops < 10 and "%.2f" or tflops < 100 and "%.1f" or "%.0f"
        row[#row] = { value = tflops, text = format:format(tflops), ref = ref }
        report:value(("tflops_%s_%d"):format(rung, size), tflops, { refs = { ref }, format = format, unit = "TFLOP/s" })
      end
    end
    rows[#rows + 1] = row
  end
  report:table {
    name = "matmul_gpu_ladder",
    caption = "Each step's speed in TFLOP/s, by matrix size (median over samples)",
    columns = columns, rows = rows,
  }
end

local function draw_ladder(report, ladder, sizes)
  local points, refs, records = {}, {}, {}
  for _, rung in ipairs(RUNGS) do
    for _, size in ipairs(sizes) do
      local s = ladder[rung][size]
      if s and s.ratio then
        points[#points + 1] = { rung, size, s.ratio, s.q1, s.q3 }
        refs[#refs + 1], records[#records + 1] = report:ref(s.record), s.record
        common.spread(report, ("ratio_%s_%d"):format(rung, size), s, { report:ref(s.record) }, "%.3f")
      end
    end
  end
  if #points == 0 then return end
  report:figure {
    name = "matmul_gpu_ladder",
    columns = common.columns("step", "size", "ratio", "q1", "q3"),
    rows = points, series = "step", x = "size", positive = { "ratio", "q1", "q3" }, refs = refs,
    vars = words.figure(report, records),
  }
end

-- Steps at the sizes that `steps` leave out: how many there are, and which of them fall, as a text.
local function report_elsewhere(report, ladder, sizes, steps)
  local counted, refs, falls, fallen = {}, {}, {}, {}
  for _, step in ipairs(steps) do counted[step.rung] = step.size end
  for _, size in ipairs(sizes) do
    for _, step in ipairs(climb.steps(ladder, RUNGS, { size })) do
      if counted[step.rung] ~= size then
        refs[#refs + 1] = report:ref(step.above.record)
        if step.outcome == "falling" then
          falls[#falls + 1], fallen[#fallen + 1] = ("%s at %d"):format(step.rung:gsub("_", " "), size), refs[#refs]
        end
      end
    end
  end
  if #refs == 0 then return end
  report:value("steps_elsewhere", #refs, { refs = refs, format = "%d" })
  if #falls == 0 then fallen = refs end
  report:value("falls_elsewhere", #falls, { refs = fallen, format = "%d" })
  report:value("which_falls_elsewhere", #falls, { refs = fallen, text = words.list(falls) })
end

-- Each rung beside the one below it, and the top at the largest size. Without a peer nothing is compared.
local function report_steps(report, ladder, sizes)
  local top = ladder.best[sizes[#sizes]]
  if not (top and top.ratio) then return end
  common.spread(report, "ratio_top", top, { report:ref(top.record) }, "%.3f")
  report:value("size_top", sizes[#sizes], { refs = { report:ref(top.record) }, format = "%d" })
  local steps, rows = climb.steps(ladder, RUNGS, sizes), {}
  climb.count(report, steps)
  report_elsewhere(report, ladder, sizes, steps)
  for _, step in ipairs(steps) do
    local refs = { report:ref(step.below.record), report:ref(step.above.record) }
    local gain = step.above.ratio / step.below.ratio
    report:value("gain_" .. step.rung, gain, { refs = refs, format = "%.2f" })
    report:value("gain_size_" .. step.rung, step.size, { refs = refs, format = "%d" })
    report:value("reached_" .. step.rung, step.above.record.tflops, { refs = { refs[2] }, format = "%.1f" })
    report:value("reached_ratio_" .. step.rung, step.above.ratio, { refs = { refs[2] }, format = "%.3f" })
    rows[#rows + 1] = {
      (step.rung:gsub("_", " ")), { value = step.size, ref = refs[2] },
      { value = gain, ref = refs[2], refs = refs }, step.outcome,
    }
  end
  report:table {
    name = "matmul_gpu_steps",
    caption = "Each step beside the one below it, at the largest size that both were run at (as ratios to the peer)",
    columns = {
      { header = "step", align = "left" }, { header = "size", align = "right", format = "%d" },
      { header = "times the step below", align = "right", format = "%.2f" }, { header = "outcome", align = "left" },
    },
    rows = rows,
  }
end

local function report_ladder(report)
  local ladder, sizes = read_ladder(report)
  if #sizes == 0 then return end
  tabulate_ladder(report, ladder, sizes)
  draw_ladder(report, ladder, sizes)
  report_steps(report, ladder, sizes)
end

-- What turning the block round brings at each size: with B stored by columns, as in the ladder, and by rows. The two
-- are worlds apart, and the prediction's median lies between them.
local function report_turn(report)
  local function gains(label, key)
    local below, least, most, last, refs = {}, math.huge, 0, nil, {}
    for _, record in ipairs(common.trials(report, label)) do
      local rung, size = record.config.variant, record.problem.m
      if rung == "naive" then below[size] = record end
      if rung == "coalesced" and below[size] then
        last = record.tflops / below[size].tflops
        least, most = math.min(least, last), math.max(most, last)
        refs[#refs + 1], refs[#refs + 2] = report:ref(below[size]), report:ref(record)
      end
    end
    if not last then return end
    report:value("turn_" .. key, last, { refs = { refs[#refs - 1], refs[#refs] }, format = "%.2f" })
    report:value("turn_" .. key .. "_least", least, { refs = refs, format = "%.2f" })
    report:value("turn_" .. key .. "_most", most, { refs = refs, format = "%.2f" })
  end
  gains("ladder", "columns")
  gains("ladder_by_k", "rows")
end

-- How many odd shapes were right.
local function report_edges(report)
  local refs, right, all = {}, 0, 0
  for _, record in ipairs(report.records) do
    if record.kind == "evaluate" and record.label == "edge" and record.status ~= "refused" then
      all = all + 1
      if record.status == "ok" and record.correct then right = right + 1 end
      refs[#refs + 1] = report:ref(record)
    end
  end
  if all == 0 then return end
  report:value("edges", all, { refs = refs, format = "%d" })
  report:value("edges_right", right, { refs = refs, format = "%d" })
end

return function(report)
  common.gate(report)
  common.mutations(report)
  common.knowledge(report)
  report_machine(report)
  report_ladder(report)
  report_turn(report)
  report_shapes(report)
  report_ablations(report)
  report_search(report)
  report_edges(report)
  report_predictions(report, PREDICTED)
end
