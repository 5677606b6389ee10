//! What is left after the worst moment: power cuts, dying processes, failing and lying disks, damage.
mod history;
mod oracle;
