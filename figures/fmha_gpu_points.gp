# FMHA on the GPU at every point beside its peer: medians and quartiles of the ratio over the length, in four panels of a
# head_dim and a mask each. Columns: series (PASS_HEADDIM_MASK), length, ratio, q1, q3. Variables: peer (its name);
# machine and measured (two lines of text: on what, and how).

# Portrait and in large type, so that it can still be read at the width of a phone.
if (kind eq 'svg') {
    points = 16.5
    set terminal svg size 640,980 dynamic enhanced font 'Helvetica,Arial,sans-serif,16.5' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    points = 32
    set terminal pngcairo size 1280,1960 enhanced font 'sans,32' linewidth 3 pointscale 1.9 background '#ffffff'
}
if (kind eq 'pdf') {
    points = 14
    set terminal pdfcairo size 6in,8.9in enhanced font 'sans,14' linewidth 1.4 background '#ffffff'
}
set output out
sized(share) = sprintf(',%.1f', share * points)
label_font = sized(0.85)
tick_font = sized(0.78)
title_font = sized(0.92)
key_font = sized(0.85)

# A series' block in the data, from 0; one that was not measured has none, and another's points are left out.
block(name) = (found = 0, sum [i=1:series] (word(series_names, i) eq name ? (found = i) : 0), found)
at(name) = block(name) > 0 ? block(name) - 1 : 0
panels = '64_full 64_causal 128_full 128_causal'
titles = "'(a) heads of 64, no mask' '(b) heads of 64, causal' '(c) heads of 128, no mask' '(d) heads of 128, causal'"
passes = 'forward backward deterministic'
named(i, panel) = sprintf('%s_%s', word(passes, i), word(panels, panel))
ratio_of(name) = block(name) > 0 ? column(col_ratio) : NaN
names = "forward backward 'backward, fixed order'"

stats data using (column(col_length)) nooutput name 'x'
stats data using (column(col_q1)) nooutput name 'low'
stats data using (column(col_q3)) nooutput name 'high'
bottom = low_min < 1 ? low_min : 1
top = high_max > 1 ? high_max : 1
pad = 0.05 * (top - bottom) + 0.01

set multiplot
set label 1 sprintf('Attention against what %s picks', peer) at screen 0.5,0.975 center noenhanced font sized(1.1) front
set label 2 machine at screen 0.5,0.945 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.917 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set logscale x 2
set xrange [x_min / 1.25 : x_max * 1.25]
set yrange [bottom - pad : top + pad]
set xtics ('512' 512, '1k' 1024, '2k' 2048, '4k' 4096, '8k' 8192, '16k' 16384) font tick_font
set ytics top - bottom > 0.5 ? 0.1 : 0.05 font tick_font
set format y '%.2f'
set title offset 0,-0.6 font title_font
set bars 0.7
unset key

do for [panel=1:4] {
    row = (panel - 1) / 2
    left = (panel - 1) % 2
    set lmargin at screen left ? 0.6 : 0.135
    set rmargin at screen left ? 0.975 : 0.51
    set tmargin at screen 0.865 - 0.37 * row
    set bmargin at screen 0.59 - 0.37 * row
    set title word(titles, panel)
    unset xlabel
    if (row == 1) { set xlabel 'length T' offset 0,0.4 font label_font }
    # A ylabel may lie outside of the picture: its place is guessed from the widest number on the axis.
    if (left == 0) { set label 4 sprintf('ratio to %s', peer) at screen 0.02,graph 0.5 center rotate noenhanced font label_font front }
    if (panel == 4) { set key at screen 0.56,0.11 center top vertical maxrows 2 Left reverse samplen 1.7 spacing 1.05 width -2 font key_font }
    # Side by side where points would hide each other.
    plot 1 with lines linestyle 20 title (panel == 4 ? peer : ''), \
         for [i=1:3] data index at(named(i, panel)) \
             using (column(col_length) * 1.04 ** (i - 2)):(ratio_of(named(i, panel))):(column(col_q1)):(column(col_q3)) \
             with yerrorbars linestyle i notitle, \
         for [i=1:3] data index at(named(i, panel)) \
             using (column(col_length) * 1.04 ** (i - 2)):(ratio_of(named(i, panel))) \
             with linespoints linestyle i title (panel == 4 ? word(names, i) : '')
    unset label
}
unset multiplot
