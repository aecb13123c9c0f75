-- What the trace of FMHA on the GPU says: the points beside what PyTorch picks, the ladder, what fusing pays, tiles and
-- stages, decoding, what else attention is asked for, and named values.
local common = require "lib.report"
local report_ladder = require "report.fmha_gpu.ladder"
local report_others = require "report.fmha_gpu.others"
local report_points = require "report.fmha_gpu.points"
local report_predictions = require "report.predictions"
local report_tiles = require "report.fmha_gpu.tiles"

-- What was predicted, by the names that the chapter uses.
local PREDICTED = {
  fusing_saves_the_scores_way = "mma_sync",
  tma_feeds_but_does_not_overlap = "tma",
  a_producer_hides_the_copies = "specialised",
  turns_hide_the_softmax = "ping_pong",
  scores_ahead_fill_what_is_left = "ahead",
  weights_in_registers_spare_shared_memory = "registers",
  staying_hides_starts_and_ends = "persistent",
  longest_first_balances_the_mask = "longest",
  packing_fills_the_tile = "packed",
  a_kept_maximum_saves_the_search_for_it = "kept",
  forward_passes_the_peer = "forward",
  backward_passes_the_peer = "backward",
  flash_2_is_left_behind = "flash",
  order_costs_little = "order",
  decoding_is_a_copy = "decode",
  tile_m_128_harms = "rows_128",
  tile_64_by_64_is_best = "tile_64_64",
  five_stages_of_v_help_a_causal_mask = "stages_2_5",
}

return function(report)
  common.gate(report)
  common.mutations(report)
  common.knowledge(report)
  report_ladder(report, report_points(report))
  report_tiles(report)
  report_others(report)
  report_predictions(report, PREDICTED)
end
