# Where the time of a training step goes: a bar for each operator, the longest on top. Columns: operator, place (from the
# top), ms, percent. Variables: machine and measured (two lines of text).

if (kind eq 'svg') {
    set terminal svg size 720,560 dynamic rounded enhanced font 'Helvetica,Arial,sans-serif,16' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    set terminal pngcairo size 1520,1180 rounded enhanced font 'sans,27' linewidth 2.8 pointscale 1.7 background '#ffffff'
}
if (kind eq 'pdf') {
    set terminal pdfcairo size 7.6in,5.7in rounded enhanced font 'sans,13' linewidth 1.4 background '#ffffff'
}
set output out
small = ',' . (kind eq 'svg' ? '13' : kind eq 'png' ? '22' : '10.5')

stats data using (column(col_place)) nooutput name 'x'
stats data using (column(col_ms)) nooutput name 'y'
set title sprintf("nanoGPT: a training step by operator\n{/*0.8 %s}\n{/*0.8 %s}", machine, measured)
set xlabel 'milliseconds a step' offset 0,0.2
set xrange [0 : y_max * 1.2]
set yrange [x_max + 0.6 : 0.4] # the first on top
set lmargin at screen 0.37
set rmargin 4
set grid noytics
unset key
set ytics font small scale 0
set boxwidth 0.66
set style fill solid 0.9 noborder
plot data using (0):(column(col_place)):(0):(column(col_ms)):(column(col_place) - 0.33):(column(col_place) + 0.33) \
         :ytic(strcol(col_operator)) with boxxyerror linecolor rgb spak_colour[1], \
     data using (column(col_ms)):(column(col_place)):(sprintf(' %.1f %%', column(col_percent))) with labels left offset 0.4,0 font small \
         textcolor rgb '#333333'
