-- What the trace of MatMul on the GPU says: the ladder, the shapes beside cuBLAS, training's products, the ablations, the
-- search against trying everything, and named values.
local common = require "lib.report"

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
  best = "tiles chosen for the problem",
}
local ABLATIONS = {
  { label = "ablation_stages", axis = "stages", what = "stages in flight (warp-specialised)" },
  { label = "ablation_stages_portable", axis = "stages", what = "stages in flight (portable)" },
  { label = "ablation_swizzle", axis = "swizzle_bytes", what = "swizzle over so many bytes (portable)" },
  { label = "ablation_group", axis = "group", what = "rows of tiles kept together" },
  { label = "ablation_tile", axis = "tile_n", what = "width of the tile" },
}

local function speed_of(record)
  local p = record.problem
  return common.speed(record, 2 * p.m * p.n * p.k)
end

local function shape_of(p)
  local letter = function(trans) return trans and "T" or "N" end
  return ("%d × %d × %d %s%s"):format(p.m, p.n, p.k, letter(p.trans_a), letter(p.trans_b))
end

local function config_words(config)
  local c = config
  if not c.tile_m then return c.variant end
  return ("%s %dx%dx%d, %d stages, cluster %dx%d, split %d"):format(c.variant, c.tile_m, c.tile_n, c.tile_k,
    c.stages or 1, c.cluster_m or 1, c.cluster_n or 1, c.split or 1)
end

-- ladder[rung][size] = speed; the sizes in order.
local function read_ladder(report)
  local ladder, seen, sizes = {}, {}, {}
  for _, rung in ipairs(RUNGS) do ladder[rung] = {} end
  for _, record in ipairs(common.trials(report, "ladder")) do
    local size = record.problem.m
    ladder[record.config.variant][size] = speed_of(record)
    if not seen[size] then seen[size] = true; sizes[#sizes + 1] = size end
  end
  table.sort(sizes)
  return ladder, sizes
end

local function report_ladder(report)
  local ladder, sizes = read_ladder(report)
  if #sizes == 0 then return end
  local columns = { { header = "step", align = "left" }, { header = "idea", align = "left" } }
  for _, size in ipairs(sizes) do
    columns[#columns + 1] = { header = ("%d"):format(size), align = "right", format = "%.0f" }
  end
  local rows, points, refs, records = {}, {}, {}, {}
  for _, rung in ipairs(RUNGS) do
    local row = { (rung:gsub("_", " ")), IDEAS[rung] }
    for _, size in ipairs(sizes) do
      local s = ladder[rung][size]
      row[#row + 1] = s and { value = s.record.tflops, ref = report:ref(s.record) } or "not run"
      if s then
        report:value(("tflops_%s_%d"):format(rung, size), s.record.tflops,
          { refs = { report:ref(s.record) }, format = "%.1f", unit = "TFLOP/s" })
        if s.ratio then
          points[#points + 1] = { rung, size, s.ratio, s.q1, s.q3 }
          refs[#refs + 1] = report:ref(s.record)
          records[#records + 1] = s.record
          common.spread(report, ("ratio_%s_%d"):format(rung, size), s, { report:ref(s.record) }, "%.3f")
        end
      end
    end
    rows[#rows + 1] = row
  end
  report:table {
    name = "matmul_gpu_ladder",
    caption = "Each step's speed in TFLOP/s, by matrix size (median over samples)",
    columns = columns, rows = rows,
  }
  if #points == 0 then return end
  report:figure {
    name = "matmul_gpu_ladder",
    columns = common.columns("step", "size", "ratio", "q1", "q3"),
    rows = points, series = "step", x = "size", positive = { "ratio", "q1", "q3" }, refs = refs,
    vars = {
      peer = records[1].peer:match("^%a+") or "peer", machine = report.hw.name or report.hw.id,
      measured = common.measured(report, records),
    },
  }
end

-- A table of trials beside the peer; their geometric mean and least ratio as values.
local function report_shapes(report, label, name, caption)
  local rows, refs, log_sum, least, count = {}, {}, 0, math.huge, 0
  for _, record in ipairs(common.trials(report, label)) do
    local s, ref = speed_of(record), report:ref(record)
    rows[#rows + 1] = {
      shape_of(record.problem), config_words(record.config), { value = record.tflops, ref = ref },
      record.peer_tflops and { value = record.peer_tflops, ref = ref } or "no peer",
      s.ratio and { value = s.ratio, ref = ref } or "", s.ratio and { value = s.q1, ref = ref } or "",
      s.ratio and { value = s.q3, ref = ref } or "",
    }
    if s.ratio then
      refs[#refs + 1] = ref
      log_sum, least, count = log_sum + math.log(s.ratio), math.min(least, s.ratio), count + 1
      if label == "shape" and record.problem.m == record.problem.n and record.problem.n == record.problem.k then
        common.spread(report, ("ratio_square_%d"):format(record.problem.m), s, { ref }, "%.3f")
      end
    end
  end
  if #rows == 0 then return end
  report:table {
    name = "matmul_gpu_" .. name, caption = caption,
    columns = {
      { header = "m × n × k", align = "left" }, { header = "configuration", align = "left" },
      { header = "TFLOP/s", align = "right", format = "%.0f" }, { header = "peer", align = "right", format = "%.0f" },
      { header = "ratio", align = "right", format = "%.3f" }, { header = "q1", align = "right", format = "%.3f" },
      { header = "q3", align = "right", format = "%.3f" },
    },
    rows = rows,
  }
  if count == 0 then return end
  report:value(name .. "_geomean", math.exp(log_sum / count), { refs = refs, format = "%.3f" })
  report:value(name .. "_least", least, { refs = refs, format = "%.3f" })
  report:value(name .. "_count", count, { refs = refs, format = "%d" })
end

local function report_ablations(report)
  local rows = {}
  for _, a in ipairs(ABLATIONS) do
    for _, record in ipairs(common.trials(report, a.label)) do
      local ref = report:ref(record)
      rows[#rows + 1] = {
        a.what, { value = record.config[a.axis], ref = ref }, { value = record.tflops, ref = ref },
        record.ratio and { value = record.ratio, ref = ref } or "no peer",
      }
      report:value(("%s_%d"):format(a.label, record.config[a.axis]), record.tflops,
        { refs = { ref }, format = "%.0f", unit = "TFLOP/s" })
    end
  end
  if #rows == 0 then return end
  report:table {
    name = "matmul_gpu_ablations",
    caption = "What tiling, swizzling, pipelining and the order of tiles are worth, one at a time, all else equal",
    columns = {
      { header = "varied", align = "left" }, { header = "value", align = "right", format = "%d" },
      { header = "TFLOP/s", align = "right", format = "%.0f" }, { header = "ratio", align = "right", format = "%.3f" },
    },
    rows = rows,
  }
end

-- Among the measured trials of a search: refused on the CPU, compiled, found compiled.
local function count_search(report, label)
  local count = { refused = 0, compiled = 0, found = 0, failed = 0 }
  for _, record in ipairs(report.records) do
    if record.kind == "measure" and record.label == label then
      local outcome = record.status == "refused" and "refused" or record.status == "failed" and "failed"
        or record.kernel and not record.kernel.cached and "compiled" or "found"
      count[outcome] = count[outcome] + 1
    end
  end
  return count
end

-- The search at the new shape against the best of everything that was tried there.
local function report_search(report)
  local converged
  for _, record in ipairs(report.records) do
    if record.kind == "converge" and record.label == "new_shape" then converged = record end
  end
  if not converged then return end
  local count, ref = count_search(report, "new_shape"), report:ref(converged)
  for outcome, n in pairs(count) do report:value("search_" .. outcome, n, { refs = { ref }, format = "%d" }) end
  report:value("search_trials", converged.trials, { refs = { ref }, format = "%d" })
  report:value("search_seconds", converged.seconds, { refs = { ref }, format = "%.1f", unit = "s" })
  local best
  for _, record in ipairs(common.trials(report, "exhaustive")) do
    if record.ratio and (not best or record.ratio > best.ratio) then best = record end
  end
  if not best then return end
  report:value("search_share_of_best", converged.merit / best.ratio,
    { refs = { ref, report:ref(best) }, format = "%.3f" })
end

-- How many odd shapes were right, and how far from the bound the worst was.
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
  report_ladder(report)
  report_shapes(report, "shape", "shapes", "The ten shapes beside cuBLAS in one run (A by rows, B stored by columns)")
  report_shapes(report, "training", "training", "Products of training and of LoopLM's layers beside cuBLAS")
  report_shapes(report, "epilogue", "epilogues", "Fused epilogues beside cuBLAS, which does the plain product")
  report_ablations(report)
  report_search(report)
  report_edges(report)
  common.predictions(report)
end
