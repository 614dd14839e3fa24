//! `manual`: writes the man pages and the shell completions, for packages. The help does not show this command.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;

const NAME: &str = env!("CARGO_PKG_NAME");

const DESCRIPTION: &str = "Polls the usage of digital humans that Huawei Cloud MetaStudio meters by the minute, and serves \
    it to Prometheus: for each project, for the month so far and for each day. Without a command, it polls and serves. \
    The options below are those of serve. Each other command has a page of its own.";

/// The sections of the man page that the definition of the command line does not contain.
const SECTIONS: &str = r#".SH FILES
.TP
\fI/etc/metastudio\-exporter/config.yaml\fR
The configuration of the service. \fBmetastudio\-exporter check \-\-example\fR prints a commented one.
.TP
\fI/etc/metastudio\-exporter/credentials\fR
The keys of the service, a file for each. systemd passes them to the service.
.TP
\fI/etc/default/metastudio\-exporter\fR
The flags of the service.
.TP
\fI/var/lib/metastudio\-exporter\fR
The state of the service: keys on hold, the last usage, and days that have ended.
.TP
\fI/usr/share/doc/metastudio\-exporter\fR
The documentation. Alerts, rules and dashboards are in \fI/usr/share/metastudio\-exporter\fR.
.SH SIGNALS
.TP
\fBSIGHUP\fR
Read the configuration again. If it is not valid, the old one stays in use.
.TP
\fBSIGTERM\fR, \fBSIGINT\fR
Answer the open requests and end. A second signal ends the program at once.
.SH "EXIT STATUS"
.TP
\fB0\fR
Success, also after \fBSIGTERM\fR and \fBSIGINT\fR.
.TP
\fB1\fR
The configuration is not valid, an address cannot be used, or a command has failed, such as \fBonce\fR if a project
failed.
.TP
\fB2\fR
The command line is not valid.
.SH EXAMPLES
.TP
\fBmetastudio\-exporter demo\fR
Try the exporter on a simulated cloud.
.TP
\fBmetastudio\-exporter check \-\-online \-\-config.file config.yaml\fR
Try each project for real, and print what to do about failures.
.SH "SEE ALSO"
.BR prometheus (1),
.BR promtool (1)
"#;

/// Arguments of `manual`.
#[derive(Args, Debug)]
pub(crate) struct Manual {
    /// Directory to write to. Created if it does not exist
    directory: PathBuf,
}

impl Manual {
    /// Writes the files for the command line that `program` defines.
    pub fn run(self, program: Command) -> anyhow::Result<ExitCode> {
        self.write(program).with_context(|| format!("cannot write to {}", self.directory.display()))?;
        Ok(ExitCode::SUCCESS)
    }

    fn write(&self, program: Command) -> anyhow::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let mut program = without_hidden_commands(&program);
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            generate_to(shell, &mut program, NAME, &self.directory)?;
        }
        // Without this, no flag of a command is completed: https://github.com/clap-rs/clap/issues/6421
        let bash = self.directory.join(format!("{NAME}.bash"));
        let script = fs::read_to_string(&bash)?.replace("metastudio__subcmd__exporter", "metastudio__exporter");
        fs::write(bash, script)?;
        program.build();
        for command in program.get_subcommands() {
            write_page(command, "", &self.directory)?;
        }
        write_page(&program, SECTIONS, &self.directory)
    }
}

/// The program without hidden commands and without `help`: completions would offer them. `help` does the same as
/// `--help`.
fn without_hidden_commands(program: &Command) -> Command {
    Command::new(NAME)
        .about(program.get_about().cloned().unwrap_or_default())
        .long_about(DESCRIPTION)
        .version(env!("CARGO_PKG_VERSION"))
        .args(program.get_arguments().cloned())
        .subcommands(program.get_subcommands().filter(|command| !command.is_hide_set()).cloned())
        .subcommand_help_heading("COMMANDS")
        .subcommand_value_name("COMMAND")
        .disable_help_subcommand(true)
}

/// Writes the page of a command, with further sections.
fn write_page(command: &Command, sections: &str, directory: &Path) -> anyhow::Result<()> {
    let date = env!("BUILD_DATE").split('T').next().unwrap_or_default();
    let source = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).date(date).source(source).manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if command.get_after_long_help().is_some() {
        let mut table = Vec::new();
        man.render_extra_section(&mut table)?;
        // The lines of the table must stay as they are.
        let table = String::from_utf8(table)?.replacen(".SH EXTRA\n", ".SH SETTINGS\n.nf\n", 1);
        page.extend(table.as_bytes());
        page.extend(b".fi\n");
    }
    page.extend(sections.as_bytes());
    fs::write(directory.join(man.get_filename()), page)?;
    Ok(())
}
