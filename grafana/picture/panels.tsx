// The visualizations of panels, drawn with Grafana's components.
import { dateTime, getDisplayValueAlignmentFactors, getFieldDisplayValues, VizOrientation } from "@grafana/data";
import type { DataFrame, DisplayValueAlignmentFactors, FieldDisplay } from "@grafana/data";
import { BarGauge, BigValue, TimeSeries, useTheme2, VizRepeater } from "@grafana/ui";
import type { VizRepeaterRenderValueProps } from "@grafana/ui";
import { TableNG } from "@grafana/ui/unstable";
import type { ComponentType, ReactElement } from "react";
import type { Dashboard, Panel } from "./dashboard";

export interface Content {
  dashboard: Dashboard;
  panel: Panel;
  frames: DataFrame[];
  width: number;
  height: number;
}

type Value = VizRepeaterRenderValueProps<FieldDisplay, DisplayValueAlignmentFactors>;

/** By the type of the panel. Grafana's packages have no component for a pie chart. */
export const VISUALIZATIONS: Record<string, ComponentType<Content>> = {
  stat: Stat,
  bargauge: Bars,
  table: Table,
  timeseries: Graph,
};

function Stat(content: Content) {
  const theme = useTheme2();
  const { options } = content.panel;
  return (
    <Repeated {...content}>
      {({ value, width, height, count, alignmentFactors }) => (
        <BigValue
          {...{ theme, width, height, count, alignmentFactors }}
          value={count === 1 ? { ...value.display, title: undefined } : value.display}
          colorMode={options.colorMode}
          graphMode={options.graphMode}
          justifyMode={options.justifyMode}
          textMode={options.textMode}
          disableWideLayout={!options.wideLayout}
        />
      )}
    </Repeated>
  );
}

function Bars(content: Content) {
  const theme = useTheme2();
  const { options } = content.panel;
  return (
    <Repeated {...content}>
      {({ value, width, height, orientation, alignmentFactors }) => (
        <BarGauge
          {...{ theme, width, height, orientation, alignmentFactors }}
          value={value.display}
          field={value.field}
          display={value.view?.getFieldDisplayProcessor(value.colIndex ?? 0)}
          itemSpacing={10}
          displayMode={options.displayMode}
          showUnfilled={options.showUnfilled}
          valueDisplayMode={options.valueMode}
          namePlacement={options.namePlacement}
        />
      )}
    </Repeated>
  );
}

/** One value for each field of the frames. */
function Repeated({ panel, frames, width, height, children }: Content & { children: (value: Value) => ReactElement }) {
  const theme = useTheme2();
  const { reduceOptions, orientation, minVizWidth, minVizHeight, maxVizHeight } = panel.options;
  const { fieldConfig } = panel;
  const values = () =>
    getFieldDisplayValues({ data: frames, fieldConfig, reduceOptions, replaceVariables: (text) => text, theme });
  return (
    <VizRepeater
      {...{ width, height, minVizWidth, minVizHeight, maxVizHeight }}
      source={frames}
      renderCounter={0}
      getValues={values}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={children}
      orientation={orientation as VizOrientation}
      itemSpacing={10}
    />
  );
}

function Table({ panel, frames: [frame], width, height }: Content) {
  const { cellHeight, sortBy, footer } = panel.options;
  const { enablePagination } = footer;
  return frame && <TableNG data={frame} {...{ width, height, cellHeight, sortBy, enablePagination }} />;
}

function Graph({ dashboard, panel, frames, width, height }: Content) {
  const [from, to] = [dateTime(dashboard.from), dateTime(dashboard.to)];
  return (
    <TimeSeries
      {...{ frames, width, height }}
      timeRange={{ from, to, raw: { from, to } }}
      timeZone="browser"
      legend={panel.options.legend}
    />
  );
}
