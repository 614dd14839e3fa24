// Draws a dashboard as Grafana does, in the grid of 24 columns.
import { createTheme } from "@grafana/data";
import type { DataFrame } from "@grafana/data";
import { GlobalStyles, Icon, PanelChrome, PortalContainer, Stack, Text } from "@grafana/ui";
import { flushSync } from "react-dom";
import { createRoot } from "react-dom/client";
import type { Dashboard, Panel } from "./dashboard";
import { framesOf } from "./frames";
import { VISUALIZATIONS } from "./panels";

const MARGIN = 8;
const CELL = 30;
const EDGE = 16;

declare global {
  interface Window {
    draw: (dashboard: Dashboard) => Promise<void>;
  }
}

window.draw = async (dashboard) => {
  // The components measure texts, so the fonts must be there before the panels.
  const styles = createRoot(document.createElement("div"));
  flushSync(() => styles.render(<GlobalStyles />));
  await Promise.all([400, 500].map((weight) => document.fonts.load(`${weight} 1em Inter`)));
  // The components have the same theme, which is dark, because no context sets another one.
  const theme = createTheme();
  const panels = dashboard.panels.map((panel) => (panel.type === "row" ? [] : framesOf(panel, theme)));
  createRoot(document.body).render(<Page {...{ dashboard, frames: await Promise.all(panels) }} />);
};

function Page({ dashboard, frames }: { dashboard: Dashboard; frames: DataFrame[][] }) {
  const { panels } = dashboard;
  const height = Math.max(...panels.map(place).map(({ top, height }) => top + height)) + EDGE;
  return (
    <main style={{ position: "relative", height }}>
      {panels.map((panel, index) => (
        <div key={panel.id} style={{ position: "absolute", ...place(panel) }}>
          <Placed {...{ dashboard, panel, frames: frames[index] ?? [] }} />
        </div>
      ))}
      <PortalContainer />
    </main>
  );
}

function place({ gridPos: { x, y, w, h } }: Panel) {
  const column = (window.innerWidth - 2 * EDGE + MARGIN) / 24;
  const row = CELL + MARGIN;
  return { left: EDGE + x * column, top: EDGE + y * row, width: w * column - MARGIN, height: h * row - MARGIN };
}

function Row({ title }: Panel) {
  return (
    <Stack alignItems="center" gap={1}>
      <Icon name="angle-down" />
      <Text element="h3" variant="h5">
        {title}
      </Text>
    </Stack>
  );
}

function Placed({ dashboard, panel, frames }: { dashboard: Dashboard; panel: Panel; frames: DataFrame[] }) {
  if (panel.type === "row") {
    return <Row {...panel} />;
  }
  const Visualization = VISUALIZATIONS[panel.type];
  const { width, height } = place(panel);
  if (!Visualization) {
    throw new Error(`no component for ${panel.type}`);
  }
  return (
    <PanelChrome title={panel.title} description={panel.description} width={width} height={height}>
      {(width, height) => <Visualization {...{ dashboard, panel, frames, width, height }} />}
    </PanelChrome>
  );
}
