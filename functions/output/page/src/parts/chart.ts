// The usage trend as a chart: stacked bars by event type, a line for active learners. Loaded when
// a chart is shown. Everything on it is also in the table beside it.

import {
  BarController,
  BarElement,
  CategoryScale,
  Chart,
  type ChartConfiguration,
  LinearScale,
  LineController,
  LineElement,
  PointElement,
  Tooltip,
} from 'chart.js';

Chart.register(
  BarController,
  BarElement,
  CategoryScale,
  LinearScale,
  LineController,
  LineElement,
  PointElement,
  Tooltip,
);

export interface Series {
  name: string;
  values: number[];
  colour: string;
}

export interface Trend {
  labels: string[];
  types: Series[];
  learners: Series;
  ink: string;
  grid: string;
}

function configuration(trend: Trend): ChartConfiguration<'bar' | 'line', number[], string> {
  const axis = { ticks: { color: trend.ink }, grid: { color: trend.grid }, border: { color: trend.grid } };
  return {
    type: 'bar',
    data: {
      labels: trend.labels,
      datasets: [
        {
          type: 'line',
          label: trend.learners.name,
          data: trend.learners.values,
          borderColor: trend.learners.colour,
          backgroundColor: trend.learners.colour,
          borderWidth: 2,
          pointRadius: trend.labels.length > 60 ? 0 : 3,
          yAxisID: 'learners',
        },
        ...trend.types.map((series) => ({
          type: 'bar' as const,
          label: series.name,
          data: series.values,
          backgroundColor: series.colour,
          stack: 'events',
          yAxisID: 'events',
        })),
      ],
    },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      interaction: { mode: 'index', intersect: false },
      plugins: { tooltip: { filter: (item) => item.raw !== 0 } },
      scales: {
        x: { ...axis, stacked: true, ticks: { ...axis.ticks, maxRotation: 0, autoSkipPadding: 16 }, grid: { display: false } },
        events: {
          ...axis,
          stacked: true,
          beginAtZero: true,
          position: 'left',
          ticks: { ...axis.ticks, precision: 0 },
          title: { display: true, text: 'Events', color: trend.ink },
        },
        learners: {
          ...axis,
          beginAtZero: true,
          position: 'right',
          ticks: { ...axis.ticks, precision: 0 },
          grid: { display: false },
          title: { display: true, text: trend.learners.name, color: trend.ink },
        },
      },
    },
  };
}

/** Draws it; the answer takes it away again. */
export function draw(canvas: HTMLCanvasElement, trend: Trend): () => void {
  const chart = new Chart(canvas, configuration(trend));
  return () => chart.destroy();
}
